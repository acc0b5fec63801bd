//! The clients that others wrote: Debian's kcat, Python's and Node's, run as processes with a deadline.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Longer than any client needs on a busy machine; a client that hangs fails the test.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a client said.
pub struct ClientOutput {
    pub succeeded: bool,
    pub stdout: String,
    pub stderr: String,
}

impl ClientOutput {
    pub fn expect_success(self, what: &str) -> String {
        assert!(
            self.succeeded,
            "{what}\n-- stdout\n{}\n-- stderr\n{}",
            self.stdout, self.stderr
        );
        self.stdout
    }
}

/// Runs `log-core/tests/clients/<script>` with the Python that has the Kafka clients.
pub async fn python(script: &str, arguments: &[&str]) -> ClientOutput {
    let interpreter = installed("venv/bin/python");
    run(
        Command::new(interpreter)
            .arg("-u")
            .arg(script_path(script))
            .args(arguments),
        "",
    )
    .await
}

/// Runs `log-core/tests/clients/<script>` with Node and the packages of `.ci/clients`.
pub async fn node(script: &str, arguments: &[&str]) -> ClientOutput {
    let packages = installed("node_modules");
    run(
        Command::new("node")
            .env("NODE_PATH", packages)
            .arg(script_path(script))
            .args(arguments),
        "",
    )
    .await
}

/// Runs `log-core/tests/clients/java/<source>` with the jars of `.ci/clients`; `None` where there is no Java to run it.
pub async fn java(source: &str, arguments: &[&str]) -> Option<ClientOutput> {
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !has("java") || !has("mvn") {
        return None;
    }
    let jars = format!("{}/*", installed("java").display());
    let mut command = Command::new("java");
    command
        .arg("-cp")
        .arg(jars)
        .arg(script_path(&format!("java/{source}")))
        .args(arguments);
    Some(run(&mut command, "").await)
}

/// Runs kcat.
pub async fn kcat(arguments: &[&str], stdin: &str) -> ClientOutput {
    // Cargo puts the librdkafka that our crates build, without zstd, before the system's.
    run(
        Command::new("kcat")
            .env_remove("LD_LIBRARY_PATH")
            .args(arguments),
        stdin,
    )
    .await
}

pub fn installed(name: &str) -> PathBuf {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/clients")).join(name);
    assert!(
        path.exists(),
        "{} is missing: run .ci/clients",
        path.display()
    );
    path
}

fn script_path(script: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients")).join(script)
}

async fn run(command: &mut Command, stdin: &str) -> ClientOutput {
    let described = format!("{command:?}");
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{described}: {error}: run .ci/clients"));
    let mut pipe = process.stdin.take().expect("piped");
    let stdin = stdin.to_owned();
    let id = process.id();
    let finished = tokio::task::spawn_blocking(move || {
        // A client that ends without reading its input is judged by what it says.
        let _gone_is_fine = pipe.write_all(stdin.as_bytes()).is_ok();
        drop(pipe);
        process.wait_with_output().expect("waited for")
    });
    match tokio::time::timeout(DEADLINE, finished).await {
        Ok(output) => {
            let output = output.expect("joined");
            ClientOutput {
                succeeded: output.status.success(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            }
        }
        Err(_) => {
            Command::new("kill")
                .args(["-9", &id.to_string()])
                .status()
                .expect("kill runs");
            panic!("{described}: still running after {DEADLINE:?}");
        }
    }
}
