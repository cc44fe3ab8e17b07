// A client of CUDA and NVDEC that does right or wrong as it is told: decoder WHAT FILE, where the file is H.264 with
// access unit delimiters. Prints the first status that is no success with the call's name, then "pictures N".
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FFNV_LOG_FUNC(...)
#include <ffnvcodec/dynlink_cuda.h>
#include <ffnvcodec/dynlink_cuviddec.h>
#include <ffnvcodec/dynlink_nvcuvid.h>

static const char *what = "";
static int is(const char *wanted) { return strcmp(what, wanted) == 0; }

static int failed;
static int check(const char *call, int status) {
  if (status && !failed) printf("%s %d\n", call, status);
  failed |= status != 0;
  return status;
}
#define TRY(call, ...) check(#call, call(__VA_ARGS__))

static tcuvidCreateDecoder *cuvidCreateDecoder;
static tcuvidDestroyDecoder *cuvidDestroyDecoder;
static tcuvidReconfigureDecoder *cuvidReconfigureDecoder;
static tcuvidDecodePicture *cuvidDecodePicture;
static tcuvidMapVideoFrame64 *cuvidMapVideoFrame64;
static tcuvidUnmapVideoFrame64 *cuvidUnmapVideoFrame64;
static int (*cuMemcpyDtoH)(void *, CUdeviceptr, size_t);

static CUvideodecoder decoder;
static int pictures, kept_slot = -1;
static CUdeviceptr kept;

static int map(int slot, CUdeviceptr *address) {
  unsigned pitch;
  unsigned long long mapped = 0;
  CUVIDPROCPARAMS parameters = {.progressive_frame = 1};
  int status = TRY(cuvidMapVideoFrame64, decoder, slot, &mapped, &pitch, &parameters);
  *address = mapped;
  return status;
}

static int reconfigure(CUVIDEOFORMAT *format, unsigned width) {
  CUVIDRECONFIGUREDECODERINFO info = {.ulWidth = width, .ulHeight = format->coded_height};
  info.ulTargetWidth = info.ulWidth;
  info.ulTargetHeight = info.ulHeight;
  info.ulNumDecodeSurfaces = format->min_num_decode_surfaces;
  return TRY(cuvidReconfigureDecoder, decoder, &info);
}

static int CUDAAPI on_sequence(void *user, CUVIDEOFORMAT *format) {
  CUVIDDECODECREATEINFO info = {.CodecType = format->codec, .ChromaFormat = format->chroma_format};
  info.ulWidth = info.ulTargetWidth = format->coded_width;
  info.ulHeight = info.ulTargetHeight = format->coded_height;
  info.ulNumDecodeSurfaces = is("surfaces") ? 99 : format->min_num_decode_surfaces;
  info.ulNumOutputSurfaces = 1;
  if (is("format")) info.OutputFormat = cudaVideoSurfaceFormat_P016;
  if (is("target")) info.ulTargetWidth = 0;
  if (TRY(cuvidCreateDecoder, &decoder, &info)) return 0;
  CUdeviceptr address;
  if (is("nothing-decoded") && map(0, &address)) return 0;
  if (is("too-large") && reconfigure(format, format->coded_width + 16)) return 0;
  return format->min_num_decode_surfaces;
}

static int CUDAAPI on_decode(void *user, CUVIDPICPARAMS *picture) {
  CUdeviceptr address;
  if (is("outside")) picture->CurrPicIdx = 99;
  if (is("into-mapped") && kept) picture->CurrPicIdx = kept_slot;
  if (TRY(cuvidDecodePicture, decoder, picture)) return 0;
  if (is("too-early") && map(picture->CurrPicIdx, &address)) return 0;
  return 1;
}

static int CUDAAPI on_display(void *user, CUVIDPARSERDISPINFO *shown) {
  if (!shown) return 1;
  CUdeviceptr address;
  char byte;
  if (map(shown->picture_index, &address)) return 0;
  pictures++;
  if (TRY(cuMemcpyDtoH, &byte, address, 1)) return 0;
  if (is("map-twice") && map(shown->picture_index, &address)) return 0;
  if (is("into-mapped") || is("all-mapped") || is("destroy-mapped")) {
    kept = address;
    kept_slot = shown->picture_index;
    return 1;
  }
  if (is("not-mapped") && TRY(cuvidUnmapVideoFrame64, decoder, address + 512)) return 0;
  if (is("destroyed")) {
    cuvidUnmapVideoFrame64(decoder, address);
    CUvideodecoder gone = decoder;
    cuvidDestroyDecoder(gone);
    if (map(shown->picture_index, &address)) return 0;
  }
  if (TRY(cuvidUnmapVideoFrame64, decoder, address)) return 0;
  if (is("unmapped") && TRY(cuMemcpyDtoH, &byte, address, 1)) return 0;
  if (is("unmap-twice") && TRY(cuvidUnmapVideoFrame64, decoder, address)) return 0;
  return 1;
}

int main(int count, char **arguments) {
  if (count < 3) return 1;
  what = arguments[1];
  FILE *file = fopen(arguments[2], "rb");
  static unsigned char stream[1 << 22];
  size_t length = file ? fread(stream, 1, sizeof stream, file) : 0;
  void *cuda = dlopen("libcuda.so.1", RTLD_NOW), *cuvid = dlopen("libnvcuvid.so.1", RTLD_NOW);
  if (!cuda || !cuvid || !length) return 1;
  fclose(file);
  int (*cuInit)(unsigned) = dlsym(cuda, "cuInit");
  int (*cuCtxCreate)(CUcontext *, unsigned, int) = dlsym(cuda, "cuCtxCreate_v2");
  int (*cuCtxDestroy)(CUcontext) = dlsym(cuda, "cuCtxDestroy_v2");
  int (*cuCtxPopCurrent)(CUcontext *) = dlsym(cuda, "cuCtxPopCurrent_v2");
  cuMemcpyDtoH = dlsym(cuda, "cuMemcpyDtoH_v2");
  tcuvidGetDecoderCaps *cuvidGetDecoderCaps = dlsym(cuvid, "cuvidGetDecoderCaps");
  tcuvidCreateVideoParser *cuvidCreateVideoParser = dlsym(cuvid, "cuvidCreateVideoParser");
  tcuvidParseVideoData *cuvidParseVideoData = dlsym(cuvid, "cuvidParseVideoData");
  tcuvidDestroyVideoParser *cuvidDestroyVideoParser = dlsym(cuvid, "cuvidDestroyVideoParser");
  cuvidCreateDecoder = dlsym(cuvid, "cuvidCreateDecoder");
  cuvidDestroyDecoder = dlsym(cuvid, "cuvidDestroyDecoder");
  cuvidReconfigureDecoder = dlsym(cuvid, "cuvidReconfigureDecoder");
  cuvidDecodePicture = dlsym(cuvid, "cuvidDecodePicture");
  cuvidMapVideoFrame64 = dlsym(cuvid, "cuvidMapVideoFrame64");
  cuvidUnmapVideoFrame64 = dlsym(cuvid, "cuvidUnmapVideoFrame64");

  CUcontext context = 0;
  if (TRY(cuInit, 0) || TRY(cuCtxCreate, &context, 0, 0)) return 0;
  if (is("no-context")) cuCtxPopCurrent(&context);
  CUVIDDECODECAPS caps = {.eCodecType = cudaVideoCodec_H264, .eChromaFormat = cudaVideoChromaFormat_420};
  CUVIDPARSERPARAMS parameters = {.CodecType = cudaVideoCodec_H264, .ulMaxNumDecodeSurfaces = !is("no-surfaces")};
  parameters.pfnSequenceCallback = on_sequence;
  parameters.pfnDecodePicture = on_decode;
  parameters.pfnDisplayPicture = on_display;
  CUvideoparser parser = 0;
  if (TRY(cuvidGetDecoderCaps, &caps) || TRY(cuvidCreateVideoParser, &parser, &parameters)) goto end;
  if (is("parser-destroyed")) cuvidDestroyVideoParser(parser);
  // From one delimiter (type 9) to the next.
  for (size_t at = 0, next; at < length && !failed; at = next) {
    for (next = at + 4; next < length && memcmp(stream + next, "\0\0\0\1\t", 5); next++) {}
    CUVIDSOURCEDATAPACKET packet = {.payload = stream + at, .payload_size = next - at};
    packet.flags = CUVID_PKT_ENDOFPICTURE;
    TRY(cuvidParseVideoData, parser, &packet);
  }
  if (!failed) {
    CUVIDSOURCEDATAPACKET packet = {.flags = CUVID_PKT_ENDOFSTREAM};
    TRY(cuvidParseVideoData, parser, &packet);
  }
  printf("pictures %d\n", pictures);
  if (kept && !is("destroy-mapped")) cuvidUnmapVideoFrame64(decoder, kept);
  if (decoder && !is("leak-decoder")) cuvidDestroyDecoder(decoder);
  if (!is("leak-parser")) cuvidDestroyVideoParser(parser);
end:
  cuCtxDestroy(context);
  return 0;
}
