//! The page, in a real browser, on a machine with something wrong and with devices: its server is real, what it is told
//! is made up.

use std::sync::Arc;

use appliance::config;
use appliance::devices::Devices;
use appliance::feed::status::{FeedState, FeedStatus, WorkerStatus};
use appliance::serve::{self, Check, Limits, Readiness, ServeState};
use appliance::store::Store;
use prometheus::Registry;
use test_support::browser;
use tokio::sync::watch;
use worker_protocol::device::{DeviceReport, Unusable};
use worker_protocol::{DeviceId, EngineKind, Inventory};

use crate::server;

const GPU: &str = "0000:01:00.0";

fn device(engine: EngineKind, address: &str, name: &str) -> DeviceReport {
    DeviceReport {
        id: DeviceId::new(engine, address).unwrap(),
        name: name.to_owned(),
        driver: "made up".to_owned(),
        simulated: false,
        cores: None,
        memory_bytes: None,
        numa_node: None,
        decode: Vec::new(),
        encode: Vec::new(),
        problems: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_what_is_wrong_and_what_there_is_to_transcode_on() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let archive = config::Archive { enabled: true, max_age: None, max_bytes: None };
    let metrics = serve::Metrics::register(&registry).unwrap();
    let worker = WorkerStatus { pid: 1, build: "test".to_owned(), device: format!("nvidia:{GPU}") };
    let feed = FeedStatus {
        state: FeedState::Idle,
        source: None,
        rungs: Vec::new(),
        worker: Some(worker),
        ..server::feed("studio-a")
    };
    let inventory = Inventory {
        devices: vec![
            device(EngineKind::Software, "", "16 cores"),
            device(EngineKind::Nvidia, GPU, "NVIDIA L4"),
        ],
        unusable: vec![
            Unusable {
                engine: EngineKind::Vaapi,
                what: Some("/dev/dri/renderD128".to_owned()),
                reason: "the driver is too old".to_owned(),
            },
            Unusable { engine: EngineKind::Vaapi, what: None, reason: "nothing to be said of".to_owned() },
        ],
    };
    let state = ServeState {
        store: Store::open(&archive, folder.path(), &registry).unwrap(),
        devices: Devices::known(inventory),
        feeds: Arc::new(move || vec![feed.clone()]),
        control: server::control(),
        registry,
        readiness: Arc::new(|| Readiness {
            ready: true,
            checks: vec![
                Check { name: "draining".to_owned(), ok: true, detail: "takes feeds".to_owned() },
                Check {
                    name: "archive".to_owned(),
                    ok: false,
                    detail: "archive: the disk is 11 s behind".to_owned(),
                },
            ],
        }),
        allow_origin: "*".to_owned(),
        max_waiting: 10,
        metrics: metrics.clone(),
    };
    let listeners = serve::bind(&["127.0.0.1:0".parse().unwrap()], None).await.unwrap();
    let url = format!("http://{}/", listeners.addresses()[0]);
    let (_stop, stopping) = watch::channel(false);
    tokio::spawn(serve::run(listeners, serve::router(state), Limits::new(100), metrics, stopping));

    // Where a person can look at them, if one says so.
    let kept = std::env::var_os("RUNGD_SCREENSHOTS").map_or(folder.path().to_owned(), Into::into);
    let prefix = kept.join("page").display().to_string();
    let look = move || {
        let said = [
            "Archive: the disk is 11 s behind.",
            "NVIDIA L4",
            "1 feed",
            "16 cores",
            "/dev/dri/renderD128",
            "The driver is too old.",
        ];
        let mut arguments =
            vec!["--url", &url, "--idle", "--screenshots", &prefix, "--screens", "phone,desktop"];
        arguments.extend(said.iter().flat_map(|text| ["--expect", text]));
        browser::run("page.mjs", &arguments)
    };
    let _shown = tokio::task::spawn_blocking(look).await.unwrap();
}
