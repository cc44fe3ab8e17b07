//! Devices, as the file has them, and the environment that drivers are loaded in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use worker_protocol::{DeviceId, EngineKind};

use super::quantity::{boolean, string};
use super::tree::{Broken, Section, Value};
use super::{DeviceWish, Devices};

/// Most render nodes: the kernel makes at most 64 (drm-uapi, `DRM_MINOR_RENDER`).
const MAX_NODES: usize = 64;
/// Most variables of the workers' environment.
const MAX_VARIABLES: usize = 32;
/// Longest name or value of one.
const MAX_VARIABLE_BYTES: usize = 4096;

/// `[devices]`.
pub(super) fn read(mut section: Section<'_>) -> Devices {
    let path = |value: &Value| match string(value, "the path of a render node")? {
        path if path.starts_with('/') => Ok(PathBuf::from(path)),
        _ => Err("is no absolute path, such as \"/dev/dri/renderD128\"".into()),
    };
    let nodes = section.list("render_nodes", 1..=MAX_NODES, "render nodes", path);
    let devices = Devices {
        render_nodes: nodes.unwrap_or_default(),
        allow_simulated: section.get("allow_simulated", boolean).unwrap_or(false),
    };
    section.finish();
    devices
}

/// `environment` of `[worker]`.
pub(super) fn environment(section: &mut Section<'_>) -> BTreeMap<String, String> {
    let read = |value: &Value| {
        let Value::Table(table) = value else {
            return Err(format!(
                "is {}, not a table such as {{ LIBVA_DRIVER_NAME = \"iHD\" }}",
                value.kind()
            )
            .into());
        };
        if table.len() > MAX_VARIABLES {
            return Err(format!("has {} variables, allowed are up to {MAX_VARIABLES}", table.len()).into());
        }
        table.iter().map(|(name, node)| variable(name, &node.value)).collect::<Result<_, Broken>>()
    };
    section.get("environment", read).unwrap_or_default()
}

fn variable(name: &str, value: &Value) -> Result<(String, String), Broken> {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > MAX_VARIABLE_BYTES || !name.bytes().all(plain) {
        return Err(format!("has the name {name:?}: names are of A-Z 0-9 _").into());
    }
    match value {
        Value::String(text) if text.len() <= MAX_VARIABLE_BYTES && !text.contains('\0') => {
            Ok((name.to_owned(), text.clone()))
        }
        Value::String(_) => {
            Err(format!("has for {name} more than {MAX_VARIABLE_BYTES} bytes, or a zero byte").into())
        }
        other => Err(format!("has for {name} {}, not a string", other.kind()).into()),
    }
}

/// `device` of a feed.
pub(super) fn wish(value: &Value) -> Result<DeviceWish, Broken> {
    let form = "auto, the name of an engine (software, nvidia, nvidia-decode, vaapi), or a device as rungd devices \
                names it";
    let text = string(value, form)?;
    if text == "auto" {
        return Ok(DeviceWish::Auto);
    }
    if let Some(engine) = EngineKind::ALL.into_iter().find(|engine| engine.name() == text) {
        return Ok(DeviceWish::Engine(engine));
    }
    let id: DeviceId = text.parse().map_err(|_| format!("is not {form}"))?;
    Ok(DeviceWish::Device(id))
}
