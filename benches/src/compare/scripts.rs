//! Servers in other languages, measured where they are installed.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A server of `benches/node` or `benches/servers`.
#[derive(Debug)]
pub(super) struct Script {
    /// The interpreter.
    pub(super) program: &'static str,
    file: &'static str,
    name: &'static str,
}

/// All scripts.
pub(super) const SCRIPTS: &[Script] = &[
    Script { program: "node", file: "node/ws.mjs", name: "ws (node)" },
    Script { program: "python3", file: "servers/picows_echo.py", name: "picows (python)" },
    Script { program: "python3", file: "servers/websockets_echo.py", name: "websockets (python)" },
];

impl Script {
    /// The path of the script.
    pub(super) fn path(&self) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), self.file].iter().collect()
    }

    /// The title in tables, with the installed version. The error is the name of a script that is
    /// not installed.
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
    fn names_a_script_that_is_not_installed() {
        let script = Script { program: "/nonexistent/interpreter", file: "node/ws.mjs", name: "ws (node)" };
        assert_eq!(script.title(), Err("ws (node)"));
        assert!(SCRIPTS.iter().all(|script| script.path().exists()));
    }
}
