//! clws in a program of axum: a page, a JSON route and a WebSocket on one port.
//!
//! Run `cargo run --release -p clws-examples --features axum --bin with_axum` and open the printed
//! address in a browser.

use std::error::Error;
use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{self, Next};
use axum::response::{Html, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use clap::Parser;
use clws_server::{
    Accept, Client, Close, Config, Group, Opening, Origins, Reject, Resource, Server, ServerHandle, Text,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;

/// What a layer of the router knows about a request. A resource finds it in the extensions.
#[derive(Clone, Debug)]
struct User(String);

/// Sends each message to all clients, with the name of its sender.
#[derive(Default)]
struct Chat {
    clients: Group,
}

impl Resource for Chat {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        let user = opening.extensions().get::<User>().ok_or_else(|| Reject::custom(401, "who are you?"))?;
        Ok(Accept::new().data(user.clone()))
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.clients.join(client); // it leaves the group when it disconnects
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        let name = client.data::<User>().map_or("", |user| &user.0);
        let _ = self.clients.send_text(format!("{name}: {text}"));
    }
}

/// Takes the user from the query, as a layer for logins takes it from a session.
async fn identify(mut request: Request, next: Next) -> Response {
    let pairs = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
    let name = pairs.filter(|(key, _)| key == "name").map(|(_, name)| name.into_owned()).next();
    if let Some(name) = name {
        request.extensions_mut().insert(User(name));
    }
    next.run(request).await
}

/// Accepts or refuses a WebSocket, and serves it.
async fn websocket(
    State(clws): State<ServerHandle>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
) -> Response {
    match clws.upgrade(&request).peer(peer).await {
        Ok((response, upgrade)) => {
            let stream = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                // An error means that the client has left before it got the response.
                if let Ok(stream) = stream.await {
                    upgrade.serve_tokio(TokioIo::new(stream)).await;
                }
            });
            response.map(Body::from)
        }
        Err(refusal) => refusal.map(Body::from),
    }
}

async fn status(State(clws): State<ServerHandle>) -> Json<Value> {
    let stats = clws.stats();
    Json(json!({ "clients": stats.client_count(), "received": stats.received.messages }))
}

/// A page, a JSON route and a WebSocket on one port, with axum
#[derive(Parser)]
struct Flags {
    /// Address to listen on; port 0 selects a free port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:12345")]
    listen: SocketAddr,
    /// Log level for standard error: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value_t = LevelFilter::INFO)]
    log_level: LevelFilter,
}

fn main() -> std::process::ExitCode {
    let runtime = tokio::runtime::Runtime::new().map_err(Box::<dyn Error>::from);
    clws_examples::exit_code("with_axum", runtime.and_then(|runtime| runtime.block_on(run())))
}

async fn run() -> Result<(), Box<dyn Error>> {
    clws_examples::return_freed_memory();
    let flags = Flags::parse();
    tracing_subscriber::fmt().with_max_level(flags.log_level).with_writer(std::io::stderr).init();

    let clws = Server::builder(Config::default()).bind()?; // the router owns the port
    clws.resources().register("/chat", Origins::any(), Chat::default())?;
    clws_examples::drain_on_signal(clws.handle())?;

    let app = Router::new()
        .route("/", get(|| async { Html(include_str!("../../assets/with_axum.html")) }))
        .route("/status", get(status))
        .route("/chat", any(websocket))
        .layer(middleware::from_fn(identify))
        .with_state(clws.handle());
    let listener = tokio::net::TcpListener::bind(flags.listen).await?;
    clws_examples::say(&format!("listening on http://{}/", listener.local_addr()?));
    // The router answers until all WebSockets are closed: new ones get 503 in a drain.
    let drained = async {
        match clws.run().await {
            Ok(report) => clws_examples::say_report(&report),
            Err(error) => tracing::error!("{error}"),
        }
    };
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(drained)
        .await?;
    Ok(())
}
