// A client of CUDA and NVENC that does right or wrong as it is told: client WHAT [FRAMES]. Prints the first status that
// is no success with the call's name, then "frames N", for N coded pictures read.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void *CUcontext;
#define FFNV_LOG_FUNC(...)
#include <ffnvcodec/nvEncodeAPI.h>

enum { WIDTH = 320, HEIGHT = 240 };
typedef unsigned long long Address;

static const char *what = "";
static int is(const char *wanted) { return strcmp(what, wanted) == 0; }

static int failed;
static int check(const char *call, int status) {
  if (status && !failed) printf("%s %d\n", call, status);
  failed |= status != 0;
  return status;
}
#define CU(name, type) ((int(*) type)dlsym(cuda, #name))
#define TRY(call, ...) check(#call, call(__VA_ARGS__))

int main(int count, char **arguments) {
  what = count > 1 ? arguments[1] : "";
  int wanted = count > 2 ? atoi(arguments[2]) : 4, coded = 0;
  void *cuda = dlopen("libcuda.so.1", RTLD_NOW), *nvenc = dlopen("libnvidia-encode.so.1", RTLD_NOW);
  if (!cuda || !nvenc) return 1;
  int (*cuInit)(unsigned) = CU(cuInit, (unsigned));
  int (*cuCtxCreate)(CUcontext *, unsigned, int) = CU(cuCtxCreate_v2, (CUcontext *, unsigned, int));
  int (*cuCtxDestroy)(CUcontext) = CU(cuCtxDestroy_v2, (CUcontext));
  int (*cuCtxPopCurrent)(CUcontext *) = CU(cuCtxPopCurrent_v2, (CUcontext *));
  int (*cuMemAlloc)(Address *, size_t) = CU(cuMemAlloc_v2, (Address *, size_t));
  int (*cuMemFree)(Address) = CU(cuMemFree_v2, (Address));
  int (*cuMemsetD8)(Address, unsigned char, size_t) = CU(cuMemsetD8_v2, (Address, unsigned char, size_t));
  int (*createInstance)(NV_ENCODE_API_FUNCTION_LIST *) =
      (int (*)(NV_ENCODE_API_FUNCTION_LIST *))dlsym(nvenc, "NvEncodeAPICreateInstance");

  CUcontext context = 0;
  Address memory = 0;
  size_t bytes = 512 * HEIGHT * 3 / 2;
  if (is("before-init")) return TRY(cuMemAlloc, &memory, bytes), 0;
  if (TRY(cuInit, 0) || TRY(cuCtxCreate, &context, 0, 0)) return 0;
  if (is("no-context")) {
    cuCtxPopCurrent(&context);
    TRY(cuMemAlloc, &memory, bytes);
    cuCtxDestroy(context);
    return 0;
  }
  if (TRY(cuMemAlloc, &memory, bytes)) goto no_memory;
  TRY(cuMemsetD8, memory, 128, is("overrun") ? bytes + 1 : bytes);
  if (is("double-free")) cuMemFree(memory);
  if (is("use-after-free")) {
    cuMemFree(memory);
    TRY(cuMemsetD8, memory, 0, 1);
    cuCtxDestroy(context);
    return 0;
  }

  NV_ENCODE_API_FUNCTION_LIST api = {.version = NV_ENCODE_API_FUNCTION_LIST_VER};
  TRY(createInstance, &api);
  NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS open = {NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS_VER};
  open.device = is("bad-context") ? (void *)&api : context;
  open.deviceType = NV_ENC_DEVICE_TYPE_CUDA;
  open.apiVersion = NVENCAPI_VERSION;
  void *encoder = 0;
  if (TRY(api.nvEncOpenEncodeSessionEx, &open, &encoder)) goto no_session;

  NV_ENC_PRESET_CONFIG preset = {NV_ENC_PRESET_CONFIG_VER, {NV_ENC_CONFIG_VER}};
  TRY(api.nvEncGetEncodePresetConfigEx, encoder, NV_ENC_CODEC_H264_GUID, NV_ENC_PRESET_P1_GUID,
      NV_ENC_TUNING_INFO_LOW_LATENCY, &preset);
  NV_ENC_INITIALIZE_PARAMS init = {NV_ENC_INITIALIZE_PARAMS_VER};
  init.encodeGUID = NV_ENC_CODEC_H264_GUID;
  init.presetGUID = NV_ENC_PRESET_P1_GUID;
  init.tuningInfo = NV_ENC_TUNING_INFO_LOW_LATENCY;
  init.encodeWidth = init.darWidth = WIDTH;
  init.encodeHeight = init.darHeight = HEIGHT;
  init.frameRateNum = 25;
  init.frameRateDen = 1;
  init.enablePTD = 1;
  init.encodeConfig = &preset.presetCfg;
  if (is("bad-version")) init.version = NVENCAPI_STRUCT_VERSION(1);
  NV_ENC_CREATE_BITSTREAM_BUFFER output = {NV_ENC_CREATE_BITSTREAM_BUFFER_VER};
  if (is("no-initialize")) TRY(api.nvEncCreateBitstreamBuffer, encoder, &output);
  if (TRY(api.nvEncInitializeEncoder, encoder, &init)) goto no_session;
  TRY(api.nvEncCreateBitstreamBuffer, encoder, &output);
  NV_ENC_REGISTER_RESOURCE registered = {NV_ENC_REGISTER_RESOURCE_VER};
  registered.resourceType = NV_ENC_INPUT_RESOURCE_TYPE_CUDADEVICEPTR;
  registered.width = WIDTH;
  registered.height = is("too-high") ? 2 * HEIGHT : HEIGHT;
  registered.pitch = 512;
  registered.resourceToRegister = (void *)memory;
  registered.bufferFormat = NV_ENC_BUFFER_FORMAT_NV12;
  TRY(api.nvEncRegisterResource, encoder, &registered);
  NV_ENC_MAP_INPUT_RESOURCE mapped = {NV_ENC_MAP_INPUT_RESOURCE_VER};
  mapped.registeredResource = registered.registeredResource;
  if (!failed && !is("unmapped")) TRY(api.nvEncMapInputResource, encoder, &mapped);

  if (is("lock-empty")) {
    NV_ENC_LOCK_BITSTREAM lock = {NV_ENC_LOCK_BITSTREAM_VER};
    lock.outputBitstream = output.bitstreamBuffer;
    TRY(api.nvEncLockBitstream, encoder, &lock);
  }
  struct timespec begun, ended;
  clock_gettime(CLOCK_MONOTONIC, &begun);
  for (int frame = 0; frame < wanted && !failed; frame++) {
    NV_ENC_PIC_PARAMS picture = {NV_ENC_PIC_PARAMS_VER};
    picture.inputWidth = WIDTH;
    picture.inputHeight = HEIGHT;
    picture.inputPitch = 512;
    picture.inputTimeStamp = frame;
    picture.inputBuffer = is("unmapped") ? registered.registeredResource : mapped.mappedResource;
    picture.outputBitstream = output.bitstreamBuffer;
    picture.bufferFmt = NV_ENC_BUFFER_FORMAT_NV12;
    picture.pictureStruct = NV_ENC_PIC_STRUCT_FRAME;
    if (TRY(api.nvEncEncodePicture, encoder, &picture)) break;
    if (is("twice") && TRY(api.nvEncEncodePicture, encoder, &picture)) break;
    NV_ENC_LOCK_BITSTREAM lock = {NV_ENC_LOCK_BITSTREAM_VER};
    lock.outputBitstream = output.bitstreamBuffer;
    if (TRY(api.nvEncLockBitstream, encoder, &lock)) break;
    coded++;
    TRY(api.nvEncUnlockBitstream, encoder, output.bitstreamBuffer);
  }
  clock_gettime(CLOCK_MONOTONIC, &ended);
  if (is("free-registered")) cuMemFree(memory), memory = 0;
  if (mapped.mappedResource && !is("leak-mapped")) api.nvEncUnmapInputResource(encoder, mapped.mappedResource);
  if (registered.registeredResource && !is("leak-mapped"))
    api.nvEncUnregisterResource(encoder, registered.registeredResource);
  if (output.bitstreamBuffer) api.nvEncDestroyBitstreamBuffer(encoder, output.bitstreamBuffer);
  printf("frames %d ms %ld\n", coded,
         (ended.tv_sec - begun.tv_sec) * 1000 + (ended.tv_nsec - begun.tv_nsec) / 1000000);
no_session:
  if (encoder && !is("leak-session")) api.nvEncDestroyEncoder(encoder);
  if (is("destroyed")) TRY(api.nvEncUnlockBitstream, encoder, output.bitstreamBuffer);
  if (memory && !is("leak-memory")) cuMemFree(memory);
no_memory:
  if (!is("leak-context") && !is("leak-memory")) cuCtxDestroy(context);
  return 0;
}
