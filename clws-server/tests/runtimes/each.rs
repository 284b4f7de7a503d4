//! Everything that runs in a task, on each runtime.

use std::sync::Arc;
use std::time::Duration;

use clws_server::runtime::Runtime;
use clws_server::{
    Accept, ByteString, Client, Config, Drain, Opening, Origins, Reject, Resource, ResourceConfig,
    ResourceListener, Server, Text, WebSocket, async_handler,
};

use crate::common::wire::{TEXT, Wire};
use crate::common::{Running, within};

struct Inline;

impl Resource for Inline {
    /// Decides in a task.
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        let name = opening.query_string().unwrap_or_default().to_owned();
        Ok(Accept::decided_by(async move {
            if name == "nobody" {
                Err(Reject::forbidden("nobody may enter"))
            } else {
                Ok(Accept::new().data(name))
            }
        }))
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        let name = client.data::<String>().unwrap();
        client.send(format!("{name}: {}", &*text)).unwrap();
    }
}

struct Listener(u32);

impl ResourceListener for Listener {
    type Message = ();

    fn text(&mut self, client: &Client, text: ByteString) {
        self.0 += 1;
        client.send(format!("{} {text}", self.0)).unwrap();
    }
}

async fn echo(mut socket: WebSocket) {
    while let Some(message) = socket.next().await {
        let _ = socket.send(message).await;
    }
}

fn answer(server: &Running, target: &str, text: &str) -> String {
    let mut wire = Wire::connect(server, target);
    wire.text(text);
    let (opcode, answer) = wire.next().unwrap();
    assert_eq!(opcode, TEXT);
    String::from_utf8(answer).unwrap()
}

/// Serves clients with each form of a handler, then drains.
fn serves(config: Config, runtime: Arc<dyn Runtime>) {
    let server = Server::builder(config.listen("127.0.0.1:0")).runtime(runtime).bind().unwrap();
    let resources = server.resources();
    resources.register("/async", Origins::any(), async_handler(echo)).unwrap();
    resources.register("/inline", Origins::any(), Inline).unwrap();
    let brief = ResourceConfig::new(Origins::any()).idle_timeout(Some(Duration::from_millis(50)));
    resources.register("/idle", brief, async_handler(echo)).unwrap();
    let listener = resources.run_resource_listener("/listener", Origins::any(), Listener(0)).unwrap();
    let server = Running::run(server);

    assert_eq!(answer(&server, "/async", "hello"), "hello");
    assert_eq!(answer(&server, "/inline?Ada", "hello"), "Ada: hello");
    assert_eq!(answer(&server, "/listener", "hello"), "1 hello");
    assert_eq!(within(listener.call(|listener| listener.0)), Ok(1));
    let refused = server.try_connect(clws_server::Version::Rfc6455, "/inline?nobody").err();
    assert_eq!(refused, Some(403));

    // With a task per client, the deadlines are timers of the runtime.
    let mut idle = Wire::connect(&server, "/idle");
    assert_eq!(idle.close_code(), Some(1001));
    drop(idle);

    let mut client = Wire::connect(&server, "/async");
    client.text("last");
    assert_eq!(client.next().unwrap(), (TEXT, b"last".to_vec()));
    server.handle.drain(Drain::new().within(10 * crate::common::TIMEOUT));
    client.finish();
    let report = server.wait().unwrap();
    assert_eq!((report.undelivered, report.unfinished), (0, 0));
}

macro_rules! runtimes {
    ($($feature:literal $name:ident: $runtime:expr;)*) => {$(
        #[cfg(feature = $feature)]
        mod $name {
            fn serves(config: clws_server::Config) {
                super::serves(config, $runtime);
            }

            in_both_modes!(serves);
        }
    )*};
}

runtimes! {
    "async-std" async_std: clws_server::runtime::async_std();
    "smol" smol: clws_server::runtime::smol();
    "tokio" tokio: {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_io().build().unwrap();
        let handle = runtime.handle().clone();
        std::mem::forget(runtime); // it outlives the server
        clws_server::runtime::tokio_handle(handle)
    };
}
