// The kernels of scale.cu as functions of the host: each element of a grid that is larger than what is to be made, one
// after the other.
#include "../../kernels/scale.cu"

template <class... Parameters, class... Arguments>
static void run(void (*kernel)(Parameters...), u32 across, u32 down, Arguments... arguments) {
  for (host_grid_y = 0; host_grid_y < down + 5; host_grid_y++)
    for (host_grid_x = 0; host_grid_x < across + 31; host_grid_x++) kernel(arguments...);
}

#define RESAMPLE(name, from, to)                                                                                      \
  extern "C" void host_##name(const from* src, to* dst, const i16* weights, const u32* starts, u32 src_pitch,         \
                              u32 dst_pitch, u32 width, u32 height, u32 channels, u32 taps) {                         \
    run(name, width * channels, height, src, dst, weights, starts, src_pitch, dst_pitch, width, height, channels,     \
        taps);                                                                                                        \
  }

RESAMPLE(resample_h8, u8, i16)
RESAMPLE(resample_h16, u16, i16)
RESAMPLE(resample_v8, i16, u8)
RESAMPLE(resample_v16, i16, i16)

extern "C" void host_convert_luma(const i16* luma, const i16* chroma, u8* dst, u32 luma_pitch, u32 chroma_pitch,
                                  u32 dst_pitch, u32 width, u32 height, i32 black, i32 of_y, i32 of_cb, i32 of_cr) {
  run(convert_luma, width, height, luma, chroma, dst, luma_pitch, chroma_pitch, dst_pitch, width, height, black, of_y,
      of_cb, of_cr);
}

extern "C" void host_convert_chroma(const i16* chroma, u8* dst, u32 chroma_pitch, u32 dst_pitch, u32 width, u32 height,
                                    i32 cb_of_cb, i32 cb_of_cr, i32 cr_of_cb, i32 cr_of_cr) {
  run(convert_chroma, width, height, chroma, dst, chroma_pitch, dst_pitch, width, height, cb_of_cb, cb_of_cr, cr_of_cb,
      cr_of_cr);
}
