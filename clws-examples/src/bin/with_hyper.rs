//! clws in a server of hyper: a page and a WebSocket on one port, over HTTP/1.1 or HTTP/2.
//!
//! Run `cargo run --release -p clws-examples --features hyper --bin with_hyper -- --tls-self-signed
//! --http2` and open the printed address in a browser. The log then shows that the WebSocket of the
//! page is a CONNECT.

use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use clap::Parser;
use clws_server::{Client, Config, Origins, Payload, Resource, Server, ServerHandle, Text};
use futures::future::{Either, select};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tracing_subscriber::filter::LevelFilter;

/// Sends each message back.
struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, text: Text<'_>) {
        let _ = client.send(text);
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        let _ = client.send(payload);
    }
}

/// Answers a request: the page, or a WebSocket.
async fn answer(
    clws: ServerHandle,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<String>, std::convert::Infallible> {
    let protocol = request.extensions().get::<Protocol>().map(Protocol::as_str);
    let (method, version) = (request.method(), request.version());
    tracing::info!(%peer, ":protocol" = protocol, "{method} {} {version:?}", request.uri());
    Ok(match (method, request.uri().path()) {
        (&Method::CONNECT, _) if protocol != Some("websocket") => {
            response(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "this CONNECT is not for a WebSocket")
        }
        (_, "/echo") => match clws.upgrade(&request).peer(peer).await {
            Ok((response, upgrade)) => {
                let stream = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    // An error means that the client has left before it got the response.
                    if let Ok(stream) = stream.await {
                        upgrade.serve_tokio(TokioIo::new(stream)).await;
                    }
                });
                response.map(|()| String::new())
            }
            Err(refusal) => refusal,
        },
        (&Method::GET | &Method::HEAD, "/") => {
            response(StatusCode::OK, "text/html; charset=utf-8", include_str!("../../assets/with_hyper.html"))
        }
        _ => response(StatusCode::NOT_FOUND, "text/plain", "there is nothing at this path"),
    })
}

fn response(status: StatusCode, content_type: &'static str, body: &str) -> Response<String> {
    let mut response = Response::new(body.to_owned());
    *response.status_mut() = status;
    let value = hyper::header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, value);
    response
}

/// A page and a WebSocket on one port, with hyper
#[derive(Parser)]
struct Flags {
    /// Address to listen on; port 0 selects a free port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:12345")]
    listen: SocketAddr,
    /// Speak TLS with a new certificate, which browsers do not trust
    #[arg(long)]
    tls_self_signed: bool,
    /// Offer WebSocket over HTTP/2 (RFC 8441); some proxies fail such requests
    #[arg(long)]
    http2: bool,
    /// Log level for standard error: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value_t = LevelFilter::INFO)]
    log_level: LevelFilter,
}

fn main() -> std::process::ExitCode {
    let runtime = tokio::runtime::Runtime::new().map_err(Box::<dyn Error>::from);
    clws_examples::exit_code("with_hyper", runtime.and_then(|runtime| runtime.block_on(run())))
}

async fn run() -> Result<(), Box<dyn Error>> {
    clws_examples::return_freed_memory();
    let flags = Flags::parse();
    tracing_subscriber::fmt().with_max_level(flags.log_level).with_writer(std::io::stderr).init();

    let clws = Server::builder(Config::default()).bind()?; // hyper owns the port
    clws.resources().register("/echo", Origins::any(), Echo)?;
    clws_examples::drain_on_signal(clws.handle())?;

    let tls = if flags.tls_self_signed { Some(self_signed()?) } else { None };
    let mut builder = Builder::new(TokioExecutor::new());
    if flags.http2 {
        builder.http2().enable_connect_protocol();
    }
    let listener = TcpListener::bind(flags.listen).await?;
    let scheme = if flags.tls_self_signed { "https" } else { "http" };
    clws_examples::say(&format!("listening on {scheme}://{}/", listener.local_addr()?));
    let serving = serve(listener, tls, builder, clws.handle());
    // The pages end with the last WebSocket: a program with longer requests waits for them here.
    match select(pin!(serving), pin!(clws.run())).await {
        Either::Left((never, _)) => match never {},
        Either::Right((report, _)) => clws_examples::say_report(&report?),
    }
    Ok(())
}

/// Accepts connections, and serves each in a task.
async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    builder: Builder<TokioExecutor>,
    clws: ServerHandle,
) -> std::convert::Infallible {
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("cannot accept: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let (tls, builder, clws) = (tls.clone(), builder.clone(), clws.clone());
        tokio::spawn(async move {
            match tls {
                None => serve_connection(socket, peer, &builder, clws).await,
                Some(tls) => match tls.accept(socket).await {
                    Ok(stream) => serve_connection(stream, peer, &builder, clws).await,
                    Err(error) => tracing::debug!(%peer, "no TLS: {error}"),
                },
            }
        });
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: SocketAddr,
    builder: &Builder<TokioExecutor>,
    clws: ServerHandle,
) {
    let service = service_fn(move |request| answer(clws.clone(), peer, request));
    // Without upgrades, hyper would never give a stream away.
    if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
        tracing::debug!(%peer, "{error}");
    }
}

/// TLS with a new certificate for `localhost`, for HTTP/2 and HTTP/1.1.
fn self_signed() -> Result<TlsAcceptor, Box<dyn Error>> {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
