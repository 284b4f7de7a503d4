//! Servers in other languages, which are measured where they are installed.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A server of `benches/node` or `benches/servers`.
#[derive(Debug)]
pub(super) struct Script {
    /// What runs it.
    pub(super) program: &'static str,
    file: &'static str,
    name: &'static str,
}

/// All of them.
pub(super) const SCRIPTS: &[Script] = &[
    Script { program: "node", file: "node/ws.mjs", name: "ws (node)" },
    Script { program: "python3", file: "servers/picows_echo.py", name: "picows (python)" },
    Script { program: "python3", file: "servers/websockets_echo.py", name: "websockets (python)" },
];

impl Script {
    /// The file.
    pub(super) fn path(&self) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), self.file].iter().collect()
    }

    /// Its name in tables, with the version that is installed; or its name alone, if it is not.
    pub(super) fn title(&self) -> Result<String, &'static str> {
        let output = Command::new(self.program).arg(self.path()).stdin(Stdio::null()).output();
        match output {
            Ok(output) if output.status.success() => {
                let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                Ok(self.name.replacen(" (", &format!(" {version} ("), 1))
            }
            _ => Err(self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_installed_is_named() {
        let script = Script { program: "/nonexistent/interpreter", file: "node/ws.mjs", name: "ws (node)" };
        assert_eq!(script.title(), Err("ws (node)"));
        assert!(SCRIPTS.iter().all(|script| script.path().exists()));
    }
}
