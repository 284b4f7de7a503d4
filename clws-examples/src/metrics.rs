//! Metrics for Prometheus on a port of their own, with the feature `metrics`.
//!
//! The port is a second server of clws, which has no resources and only answers HTTP requests. So
//! metrics have the limits of any server, and clients of the public port cannot read them.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

use clws_server::{Config, HttpRequest, HttpResponse, MetricsPublisher, Server, ServerHandle};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// The upper bounds of the buckets of all histograms, in seconds.
const BUCKETS: [f64; 14] =
    [1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 1e-3, 5e-3, 0.025, 0.1, 0.5, 2.5];

/// The content type of Prometheus's text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves the metrics of a server at `http://ADDRESS/metrics`, until the process ends. Call it once.
///
/// # Errors
///
/// The address cannot be bound, or the process has another recorder of metrics.
pub fn serve(address: &str, handle: ServerHandle) -> Result<(), Box<dyn Error>> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)?
        .install_recorder()?;
    let server = Server::bind(Config::default().listen(address).shards(1).max_clients(100))?;
    let publisher = Mutex::new(MetricsPublisher::new(handle));
    server.resources().http(move |request| answer(request, &publisher, &recorder));
    for address in server.local_addrs()? {
        crate::say(&format!("metrics at http://{address}/metrics"));
    }
    async_std::task::spawn(async move {
        if let Err(error) = server.run().await {
            eprintln!("the port of the metrics failed: {error}");
        }
    });
    Ok(())
}

fn answer(
    request: &HttpRequest<'_>,
    publisher: &Mutex<MetricsPublisher>,
    recorder: &PrometheusHandle,
) -> HttpResponse {
    match (request.path(), request.method()) {
        ("/metrics", "GET" | "HEAD") => {
            publisher.lock().unwrap_or_else(PoisonError::into_inner).publish();
            recorder.run_upkeep(); // moves the recorded durations to their buckets
            HttpResponse::new(200).body(CONTENT_TYPE, recorder.render().into_bytes())
        }
        ("/metrics", _) => HttpResponse::method_not_allowed("GET, HEAD"),
        _ => HttpResponse::not_found(),
    }
}
