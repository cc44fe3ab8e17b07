//! Sources: files read and demultiplexed by the driver. Nobody uses them; loaders look for them.

macro_rules! unsupported {
    ($($name:ident)*) => {$(
        #[doc = concat!("`", stringify!($name), "` of nvcuvid.h: not supported.")]
        // SAFETY: the name is libnvcuvid's, and this is libnvcuvid.
        #[unsafe(no_mangle)]
        #[allow(non_snake_case, reason = "nvcuvid.h names it")]
        pub(crate) extern "C" fn $name() -> u32 {
            crate::library::NOT_SUPPORTED.0
        }
    )*};
}

unsupported! {
    cuvidCreateVideoSource cuvidCreateVideoSourceW cuvidDestroyVideoSource cuvidSetVideoSourceState
    cuvidGetVideoSourceState cuvidGetSourceVideoFormat cuvidGetSourceAudioFormat cuvidMapVideoFrame
    cuvidUnmapVideoFrame
}
