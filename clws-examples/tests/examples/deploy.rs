//! The files of the folder `deploy`, and the chapter of the guide that shows them.

use std::fs;
use std::path::Path;

use clws_server::Config;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"))
}

/// Readers copy the files from the guide, and the tests run those of the folder.
#[test]
fn the_guide_shows_the_files_that_the_tests_run() {
    let guide = folder().join("../../clws-server/src/guide/deployment.md");
    let guide = fs::read_to_string(guide).unwrap();
    for file in [
        "nginx.conf",
        "haproxy.cfg",
        "stunnel.conf",
        "proxy-headers.toml",
        "proxy-protocol.toml",
        "clws.service",
        "clws.socket",
        "Containerfile",
    ] {
        let text = fs::read_to_string(folder().join(file)).unwrap();
        let is_shown = ["text", "toml"]
            .iter()
            .any(|kind| guide.contains(&format!("```{kind}\n{}\n```", text.trim_end())));
        assert!(is_shown, "the chapter deployment does not show {file} as it is");
    }
}

#[test]
fn the_settings_for_proxies_are_valid() {
    for file in ["proxy-headers.toml", "proxy-protocol.toml"] {
        let config = clws_examples::read_config(&folder().join(file)).unwrap();
        assert_eq!(
            config.trusted_proxies,
            Config::default().trusted_proxies(["127.0.0.1"]).trusted_proxies,
            "{file}"
        );
    }
}
