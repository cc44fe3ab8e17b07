//! libva asks libdrm for the type of the node that it is given, and nothing else of it when `LIBVA_DRIVER_NAME` is
//! set. Preloaded, this answers in libdrm's place, so that `/dev/null` passes as a render node.

use std::ffi::c_int;

/// `DRM_NODE_RENDER` of xf86drm.h.
const DRM_NODE_RENDER: c_int = 2;

/// xf86drm.h's question, answered the same for every descriptor.
// SAFETY: the name is libdrm's, and taking its place is the purpose; the signature is that of xf86drm.h.
#[unsafe(no_mangle)]
pub extern "C" fn drmGetNodeTypeFromFd(_descriptor: c_int) -> c_int {
    DRM_NODE_RENDER
}
