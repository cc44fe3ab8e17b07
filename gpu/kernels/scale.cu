// The kernels of gpu/src/scale.rs. Each has its twin in gpu/src/scale/reference.rs: integers throughout, so that both
// give the same bits. Change both together, then run generate.sh.
//
// Samples between kernels are 14-bit codes in 16 bits: an 8-bit sample times 64. Weights have 14 fractional bits.
// Pitches are in bytes. `width` counts pictures' samples of one channel; luma has one channel, chroma two, interleaved: `channels` is 1 or 2.
// A thread makes one element; the grid covers at least width * channels by height threads.
#include "prelude.h"

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef short i16;
typedef int i32;

// Row y of a plane.
#define ROW(type, base, pitch, y) ((type*)((char*)(base) + (u64)(y) * (pitch)))
#define CONST_ROW(type, base, pitch, y) ((const type*)((const char*)(base) + (u64)(y) * (pitch)))

static __device__ inline i32 clamp(i32 value, i32 low, i32 high) {
  return value < low ? low : value > high ? high : value;
}

// Q14 back to codes, rounded.
static __device__ inline i32 unweigh(i32 sum) { return (sum + 8192) >> 14; }

// Across: 8-bit samples to codes.
extern "C" __global__ void resample_h8(const u8* src, i16* dst, const i16* weights, const u32* starts, u32 src_pitch,
                                       u32 dst_pitch, u32 width, u32 height, u32 channels, u32 taps) {
  u32 x = GRID_X, y = GRID_Y;
  if (x >= width * channels || y >= height) return;
  u32 at = channels == 2 ? x / 2 : x, channel = x - at * channels;
  const u8* row = CONST_ROW(u8, src, src_pitch, y) + (u64)starts[at] * channels + channel;
  i32 sum = 0;
  for (u32 tap = 0; tap < taps; tap++) sum += weights[tap * width + at] * ((i32)row[tap * channels] << 6);
  ROW(i16, dst, dst_pitch, y)[x] = (i16)clamp(unweigh(sum), -32768, 32767);
}

// Across: samples in the high bits of 16 (P010, P016) to codes.
extern "C" __global__ void resample_h16(const u16* src, i16* dst, const i16* weights, const u32* starts, u32 src_pitch,
                                        u32 dst_pitch, u32 width, u32 height, u32 channels, u32 taps) {
  u32 x = GRID_X, y = GRID_Y;
  if (x >= width * channels || y >= height) return;
  u32 at = channels == 2 ? x / 2 : x, channel = x - at * channels;
  const u16* row = CONST_ROW(u16, src, src_pitch, y) + (u64)starts[at] * channels + channel;
  i32 sum = 0;
  for (u32 tap = 0; tap < taps; tap++) sum += weights[tap * width + at] * ((i32)row[tap * channels] >> 2);
  ROW(i16, dst, dst_pitch, y)[x] = (i16)clamp(unweigh(sum), -32768, 32767);
}

static __device__ inline i32 down(const i16* src, const i16* weights, const u32* starts, u32 src_pitch,
                                               u32 height, u32 taps, u32 x, u32 y) {
  u32 start = starts[y];
  i32 sum = 0;
  for (u32 tap = 0; tap < taps; tap++)
    sum += weights[tap * height + y] * (i32)CONST_ROW(i16, src, src_pitch, start + tap)[x];
  return unweigh(sum);
}

// Down: codes to 8-bit samples.
extern "C" __global__ void resample_v8(const i16* src, u8* dst, const i16* weights, const u32* starts, u32 src_pitch,
                                       u32 dst_pitch, u32 width, u32 height, u32 channels, u32 taps) {
  u32 x = GRID_X, y = GRID_Y;
  if (x >= width * channels || y >= height) return;
  i32 code = down(src, weights, starts, src_pitch, height, taps, x, y);
  ROW(u8, dst, dst_pitch, y)[x] = (u8)clamp((code + 32) >> 6, 0, 255);
}

// Down: codes to codes, where colours are still to be converted.
extern "C" __global__ void resample_v16(const i16* src, i16* dst, const i16* weights, const u32* starts, u32 src_pitch,
                                        u32 dst_pitch, u32 width, u32 height, u32 channels, u32 taps) {
  u32 x = GRID_X, y = GRID_Y;
  if (x >= width * channels || y >= height) return;
  i32 code = down(src, weights, starts, src_pitch, height, taps, x, y);
  ROW(i16, dst, dst_pitch, y)[x] = (i16)clamp(code, -32768, 32767);
}

// Luma of another matrix or range, with the chroma beside it, to 8 bits of the target's. Chroma lies on the even
// columns, and between the rows. `width` is even.
extern "C" __global__ void convert_luma(const i16* luma, const i16* chroma, u8* dst, u32 luma_pitch, u32 chroma_pitch,
                                        u32 dst_pitch, u32 width, u32 height, i32 black, i32 of_y, i32 of_cb,
                                        i32 of_cr) {
  u32 x = GRID_X, y = GRID_Y;
  if (x >= width || y >= height) return;
  u32 near = y / 2, far = y % 2 ? near + 1 : near == 0 ? 0 : near - 1;
  far = far >= height / 2 ? height / 2 - 1 : far;
  u32 left = x / 2, right = x % 2 ? left + 1 : left;
  right = right >= width / 2 ? width / 2 - 1 : right;
  const i16* a = CONST_ROW(i16, chroma, chroma_pitch, near);
  const i16* b = CONST_ROW(i16, chroma, chroma_pitch, far);
  i32 cb = (3 * (a[2 * left] + a[2 * right]) + b[2 * left] + b[2 * right] + 4) >> 3;
  i32 cr = (3 * (a[2 * left + 1] + a[2 * right + 1]) + b[2 * left + 1] + b[2 * right + 1] + 4) >> 3;
  i32 sum = of_y * ((i32)CONST_ROW(i16, luma, luma_pitch, y)[x] - black) + of_cb * (cb - 8192) + of_cr * (cr - 8192);
  ROW(u8, dst, dst_pitch, y)[x] = (u8)clamp(16 + ((sum + (1 << 19)) >> 20), 0, 255);
}

// Chroma of another matrix or range to 8 bits of the target's. `width` counts pairs.
extern "C" __global__ void convert_chroma(const i16* chroma, u8* dst, u32 chroma_pitch, u32 dst_pitch, u32 width,
                                          u32 height, i32 cb_of_cb, i32 cb_of_cr, i32 cr_of_cb, i32 cr_of_cr) {
  u32 x = GRID_X, y = GRID_Y;
  if (x >= width || y >= height) return;
  const i16* row = CONST_ROW(i16, chroma, chroma_pitch, y);
  i32 cb = row[2 * x] - 8192, cr = row[2 * x + 1] - 8192;
  u8* out = ROW(u8, dst, dst_pitch, y);
  out[2 * x] = (u8)clamp(128 + ((cb_of_cb * cb + cb_of_cr * cr + (1 << 19)) >> 20), 0, 255);
  out[2 * x + 1] = (u8)clamp(128 + ((cr_of_cb * cb + cr_of_cr * cr + (1 << 19)) >> 20), 0, 255);
}
