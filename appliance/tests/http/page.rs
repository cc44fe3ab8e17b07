//! The page, in a real browser, on a machine with something wrong and with devices: its server is real, what it is told
//! is made up.

use std::sync::Arc;

use appliance::devices::Devices;
use appliance::feed::status::{FeedState, FeedStatus, WorkerStatus};
use appliance::serve::{Check, Readiness};
use test_support::asked::screenshots;
use test_support::browser;
use worker_protocol::device::{DeviceReport, Unusable};
use worker_protocol::{DeviceId, EngineKind, Inventory};

use crate::server::{self, Server};

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
    let readiness = || Readiness {
        ready: true,
        checks: vec![
            Check { name: "draining".to_owned(), ok: true, detail: "takes feeds".to_owned() },
            Check {
                name: "archive".to_owned(),
                ok: false,
                detail: "archive: the disk is 11 s behind".to_owned(),
            },
        ],
    };
    let server = Server::told(|state| {
        state.devices = Devices::known(inventory);
        state.feeds = Arc::new(move || vec![feed.clone()]);
        state.readiness = Arc::new(readiness);
    })
    .await;
    let url = format!("http://{}/", server.address);
    let prefix = screenshots(server.folder.path(), "page");
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
