//! The edges between crates, as the architecture has them, read from `cargo metadata`: what a crate may reach is held
//! here and not by goodwill.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Normal dependencies of every package of the graph: what is linked into a product, tests and build scripts excepted.
struct Graph {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<String>>,
    members: BTreeSet<String>,
}

impl Graph {
    fn read() -> Self {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--offline", "--locked"])
            .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let list = |value: &Value| value.as_array().expect("a list").clone();
        let names = list(&metadata["packages"]).iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
        let members = list(&metadata["workspace_members"]).iter().map(text).collect();
        let edges = list(&metadata["resolve"]["nodes"])
            .iter()
            .map(|node| {
                let normal = |dep: &&Value| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
                let deps = list(&node["deps"]).iter().filter(normal).map(|dep| text(&dep["pkg"])).collect();
                (text(&node["id"]), deps)
            })
            .collect();
        Self { names, edges, members }
    }

    fn id(&self, name: &str) -> &str {
        let of_name = |id: &&String| self.names[*id] == name;
        self.members.iter().find(of_name).unwrap_or_else(|| panic!("no workspace member is called {name}"))
    }

    fn members(&self) -> BTreeSet<&str> {
        self.members.iter().map(|id| self.names[id].as_str()).collect()
    }

    /// Names of all packages that `name` reaches, itself excepted.
    fn reached_from(&self, name: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![self.id(name)];
        while let Some(id) = open.pop() {
            for next in &self.edges[id] {
                if seen.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }

    fn assert_apart(&self, from: &str, to: &str) {
        assert!(
            !self.reached_from(from).contains(to),
            "{from} must not reach {to}; see `cargo tree -p {from} -i {to}`"
        );
    }
}

#[test]
fn the_sans_io_crates_reach_no_runtime() {
    let graph = Graph::read();
    for name in ["media", "rtmp", "packager", "worker-protocol"] {
        for runtime in ["tokio", "mio", "axum", "hyper", "rustls"] {
            graph.assert_apart(name, runtime);
        }
    }
}

#[test]
fn the_daemon_reaches_no_codec_and_no_worker() {
    let graph = Graph::read();
    for name in ["worker", "software", "ffmpeg-next", "ffmpeg-sys-next", "openssl-sys"] {
        graph.assert_apart("appliance", name);
    }
    assert!(graph.reached_from("appliance").contains("tokio"), "the graph was read wrongly");
}

#[test]
fn engines_know_nothing_of_ours_and_only_the_worker_reaches_them() {
    let graph = Graph::read();
    let members = graph.members();
    for engine in ["software", "gpu", "vaapi"].into_iter().filter(|engine| members.contains(engine)) {
        let ours: Vec<_> =
            graph.reached_from(engine).into_iter().filter(|name| members.contains(name)).collect();
        assert!(ours.is_empty(), "{engine} must know nothing of ours, and reaches {ours:?}");
        for member in &members {
            let may = [engine, "worker", "hwtests", "benches"].contains(member) || member.starts_with("sim-");
            if !may {
                graph.assert_apart(member, engine);
            }
        }
    }
    assert!(graph.reached_from("worker").contains("software"), "the graph was read wrongly");
}

#[test]
fn words_and_wire_formats_stay_apart() {
    let graph = Graph::read();
    let members = graph.members();
    let ours = |name: &str| -> BTreeSet<_> {
        graph.reached_from(name).into_iter().filter(|other| members.contains(other)).collect()
    };
    assert_eq!(ours("media"), BTreeSet::new(), "media is at the bottom");
    for name in ["packager", "worker-protocol"] {
        assert_eq!(ours(name), BTreeSet::from(["media"]), "{name} is written in media's words and no others");
    }
    assert!(ours("rtmp").is_subset(&BTreeSet::from(["media"])), "rtmp is written in media's words at most");
}

#[test]
fn nothing_shipped_depends_on_tests_or_benches() {
    let graph = Graph::read();
    let members = graph.members();
    let (tools, shipped): (Vec<&str>, Vec<&str>) = members
        .iter()
        .partition(|name| ["test-support", "hwtests", "benches"].contains(*name) || name.starts_with("sim-"));
    for member in shipped {
        for tool in &tools {
            graph.assert_apart(member, tool);
        }
    }
}
