//! The span of a client, which each log line has that is written while code runs for the client.
//!
//! Each test runs in its own process, because the subscriber is global to the process.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use crate::common::Running;
use clws_server::{
    Accept, Client, Close, Config, Disconnect, Opening, Origins, Reject, Resource, ResourceListener, Server,
    Text, Version, WebSocket, async_handler,
};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber, info, span};

in_both_modes_in_own_process!(
    each_line_of_a_handler_is_in_its_clients_span,
    no_span_is_made_if_none_is_wanted
);

/// Keeps the lines of the test's own target, each with the spans that it is in.
#[derive(Clone)]
struct Log {
    max: LevelFilter,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    /// Open spans, with their fields.
    spans: HashMap<u64, String>,
    made: u64,
}

thread_local! {
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.max
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.max)
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut fields = Fields(format!("{}: ", attributes.metadata().name()));
        attributes.record(&mut fields);
        let mut state = self.state.lock().unwrap();
        state.made += 1;
        let id = state.made;
        state.spans.insert(id, fields.0);
        span::Id::from_u64(id)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        let mut state = self.state.lock().unwrap();
        let spans: Vec<_> = ENTERED.with_borrow(|ids| ids.iter().map(|id| state.spans[id].clone()).collect());
        if event.metadata().target() == "test" {
            state.lines.push(format!("{}| {}", fields.0, spans.join(" / ")));
        }
    }

    fn enter(&self, id: &span::Id) {
        ENTERED.with_borrow_mut(|ids| ids.push(id.into_u64()));
    }

    fn exit(&self, id: &span::Id) {
        assert_eq!(ENTERED.with_borrow_mut(Vec::pop), Some(id.into_u64()));
    }

    fn try_close(&self, id: span::Id) -> bool {
        self.state.lock().unwrap().spans.remove(&id.into_u64()).is_some()
    }
}

impl Log {
    fn start(max: LevelFilter) -> Self {
        let log = Self { max, state: Arc::default() };
        tracing::subscriber::set_global_default(log.clone()).unwrap();
        log
    }

    /// Waits for the line, and returns the spans that it is in.
    #[track_caller]
    fn spans_of(&self, line: &str) -> String {
        let mut found = None;
        crate::common::eventually(line, || {
            let state = self.state.lock().unwrap();
            let spans =
                |logged: &String| logged.strip_prefix(&format!("message={line} | ")).map(str::to_owned);
            found = state.lines.iter().find_map(spans);
            found.is_some()
        });
        found.unwrap()
    }
}

struct Inline;

impl Resource for Inline {
    fn accept(&self, _: &Opening) -> Result<Accept, Reject> {
        info!(target: "test", "accept");
        Ok(Accept::new())
    }

    fn connected(&self, _: &Client) -> Result<(), Close> {
        info!(target: "test", "connected");
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        info!(target: "test", "text");
        let _ = client.send(text);
    }

    fn disconnected(&self, _: &Client, _: &Disconnect) {
        info!(target: "test", "disconnected");
    }
}

struct Listens;

impl ResourceListener for Listens {
    type Message = ();

    fn text(&mut self, client: &Client, text: clws_server::ByteString) {
        info!(target: "test", "listener");
        let _ = client.send(&*text);
    }
}

async fn task(mut socket: WebSocket) {
    while let Some(message) = socket.next().await {
        info!(target: "test", "task");
        let _ = socket.send(message).await;
    }
}

fn serve(config: Config) -> Running {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let resources = server.resources();
    resources.register("/inline", Origins::any(), Inline).unwrap();
    resources.register("/task", Origins::any(), async_handler(task)).unwrap();
    let _listener = resources.run_resource_listener("/listener", Origins::any(), Listens).unwrap();
    Running::run(server)
}

fn each_line_of_a_handler_is_in_its_clients_span(config: Config) {
    let log = Log::start(LevelFilter::DEBUG);
    let server = serve(config);
    let mut inline = server.connect(Version::Rfc6455, "/inline?token=secret");
    inline.assert_echo("payload");
    inline.close(1000, "");
    while inline.next() != crate::common::Received::End {}
    let accept = log.spans_of("accept");
    assert!(accept.starts_with("client: peer=127.0.0.1:"), "{accept}");
    assert!(accept.ends_with("resource=\"/inline\" version=13 "), "{accept}");
    let connected = log.spans_of("connected");
    assert!(connected.starts_with("client: id="), "{connected}");
    assert!(connected.ends_with("resource=\"/inline\" version=13 "), "{connected}");
    assert!(connected.contains(" peer=127.0.0.1:"), "{connected}");
    assert_eq!((log.spans_of("text"), log.spans_of("disconnected")), (connected.clone(), connected.clone()));

    server.connect(Version::Hybi00, "/task").assert_echo("payload");
    server.connect(Version::Hybi08, "/listener").assert_echo("payload");
    for (line, end) in
        [("task", "resource=\"/task\" version=0 "), ("listener", "resource=\"/listener\" version=8 ")]
    {
        let spans = log.spans_of(line);
        assert!(spans.starts_with("client: id=") && spans.ends_with(end), "{spans}");
        assert_ne!(spans, connected);
    }
    // An idle client has no span, and no span has a secret or a payload.
    let _idle = server.connect(Version::Rfc6455, "/inline");
    crate::common::eventually("no span is open", || log.state.lock().unwrap().spans.is_empty());
    let state = log.state.lock().unwrap();
    assert!(
        state.made > 4
            && state.lines.iter().all(|line| !line.contains("secret") && !line.contains("payload"))
    );
}

fn no_span_is_made_if_none_is_wanted(config: Config) {
    let log = Log::start(LevelFilter::INFO);
    let server = serve(config);
    server.connect(Version::Rfc6455, "/inline").assert_echo("payload");
    assert_eq!(log.spans_of("text"), "");
    assert_eq!(log.state.lock().unwrap().made, 0);
}
