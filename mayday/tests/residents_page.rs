//! The residents' page: its types, what it decides, and what a neighbour sees of it in a real browser.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Something that `.ci/clients` installs. Without it nothing here is proven, so its absence is a failure.
fn installed(name: &str) -> PathBuf {
    let path = root().join("target/clients").join(name);
    assert!(
        path.exists(),
        "{name} is missing: run .ci/clients once, it installs what these tests drive the page with"
    );
    path
}

/// Runs a command from the root and shows what it said when it fails.
fn succeed(command: &mut Command) {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.current_dir(root()).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{program} does not start ({error}): node 20 or later is needed, see .ci/clients")
    });
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    println!("{said}");
}

#[test]
fn the_types_in_the_page_agree() {
    let tsc = installed("node_modules/typescript/bin/tsc");
    succeed(
        Command::new("node")
            .arg(tsc)
            .args(["-p", "ws-gateway/page/jsconfig.json"]),
    );
}

#[test]
fn the_page_and_its_client_decide_as_their_own_tests_say() {
    succeed(Command::new("node").args(["--test", "ws-gateway/page/tests/"]));
}

#[test]
fn a_neighbour_sees_hears_and_answers_alerts_in_a_real_browser() {
    for package in ["playwright-core", "axe-core"] {
        installed(&format!("node_modules/{package}/package.json"));
    }
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    assert!(
        Path::new(&chromium).exists(),
        "{chromium} is missing: run .ci/clients once, or name another with CHROMIUM"
    );
    let mut node = Command::new("node");
    node.args(["--test", "mayday/tests/browser/residents-page.test.js"])
        .env("MAYDAY", env!("CARGO_BIN_EXE_mayday"));
    succeed(&mut node);
}
