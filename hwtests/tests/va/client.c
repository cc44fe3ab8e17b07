// A small client of libva's, which does right or wrong as it is told:
//
//   client NODE SCENARIO [FRAMES]
//
// It encodes H.264 without packed headers, 320x240, and prints the status of every call that may fail.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <va/va.h>
#include <va/va_drm.h>
#include <va/va_enc_hevc.h>
#include <va/va_vpp.h>

enum { WIDTH = 320, HEIGHT = 240, RECONSTRUCTED = 2 };

static VADisplay display;
static VAConfigID config;
static VAContextID context;
static VASurfaceID inputs[2], reconstructed[RECONSTRUCTED];
static VABufferID coded;
static int frame, idr_count;
static VABufferID kept[64];
static int kept_count;

static void say(const char *what, VAStatus status) {
  printf("%s %d\n", what, status);
  fflush(stdout);
}

static void want(const char *what, VAStatus status) {
  if (status != VA_STATUS_SUCCESS) {
    say(what, status);
    exit(3);
  }
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

// Something that moves, and is not flat.
static void fill(VASurfaceID surface, int number) {
  VAImage image;
  unsigned char *bytes;
  want("vaDeriveImage", vaDeriveImage(display, surface, &image));
  want("vaMapBuffer", vaMapBuffer(display, image.buf, (void **)&bytes));
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++)
      bytes[image.offsets[0] + y * image.pitches[0] + x] =
          16 + ((x + 3 * number) * 7 % 64) + ((y + number) * 5 % 64) + (x * y / 97 + number) % 32;
  for (int y = 0; y < HEIGHT / 2; y++)
    memset(bytes + image.offsets[1] + y * image.pitches[1], 128, WIDTH);
  want("vaUnmapBuffer", vaUnmapBuffer(display, image.buf));
  want("vaDestroyImage", vaDestroyImage(display, image.image_id));
}

static VABufferID buffer(VABufferType type, unsigned size, void *data) {
  VABufferID id = VA_INVALID_ID;
  VAStatus status = vaCreateBuffer(display, context, type, size, 1, data, &id);
  if (status != VA_STATUS_SUCCESS) say("vaCreateBuffer", status);
  return id;
}

static void render(VABufferType type, unsigned size, void *data) {
  VABufferID id = buffer(type, size, data);
  VAStatus status = vaRenderPicture(display, context, &id, 1);
  if (status != VA_STATUS_SUCCESS) say("vaRenderPicture", status);
  kept[kept_count++] = id;
}

static void rate(unsigned bits_per_second) {
  char bytes[sizeof(VAEncMiscParameterBuffer) + sizeof(VAEncMiscParameterRateControl)] = {0};
  VAEncMiscParameterBuffer *misc = (void *)bytes;
  VAEncMiscParameterRateControl *control = (void *)misc->data;
  misc->type = VAEncMiscParameterTypeRateControl;
  control->bits_per_second = bits_per_second;
  control->target_percentage = 100;
  render(VAEncMiscParameterBufferType, sizeof bytes, bytes);
}

static int open_display(const char *node) {
  int major, minor, descriptor = open(node, O_RDWR);
  display = vaGetDisplayDRM(descriptor);
  if (!display) return -1;
  return vaInitialize(display, &major, &minor);
}

static void setup(void) {
  VAConfigAttrib attribute = {VAConfigAttribRateControl, VA_RC_CBR};
  want("vaCreateConfig", vaCreateConfig(display, VAProfileH264High, VAEntrypointEncSlice, &attribute, 1, &config));
  VAStatus status = vaCreateSurfaces(display, VA_RT_FORMAT_YUV420, WIDTH, HEIGHT, inputs, 2, NULL, 0);
  if (status) { say("vaCreateSurfaces", status); exit(0); }
  want("vaCreateSurfaces", vaCreateSurfaces(display, VA_RT_FORMAT_YUV420, WIDTH, HEIGHT, reconstructed, RECONSTRUCTED, NULL, 0));
  status = vaCreateContext(display, config, WIDTH, HEIGHT, VA_PROGRESSIVE, reconstructed, RECONSTRUCTED, &context);
  if (status) { say("vaCreateContext", status); exit(0); }
  coded = buffer(VAEncCodedBufferType, WIDTH * HEIGHT * 2, NULL);
}

struct wrong {
  int frame_num, reference, no_picture_parameters, no_slice, bits_per_second;
};

// Codes a picture; answers vaEndPicture's status.
static VAStatus encode(int idr, struct wrong wrong) {
  VAEncSequenceParameterBufferH264 sequence = {0};
  VAEncPictureParameterBufferH264 picture = {0};
  VAEncSliceParameterBufferH264 slice = {0};
  if (idr) frame = 0;
  VASurfaceID input = inputs[frame % 2], own = reconstructed[frame % 2], other = reconstructed[(frame + 1) % 2];
  fill(input, frame);
  sequence.level_idc = 30;
  sequence.intra_period = sequence.intra_idr_period = 1000;
  sequence.ip_period = 1;
  sequence.bits_per_second = 500000;
  sequence.max_num_ref_frames = 1;
  sequence.picture_width_in_mbs = WIDTH / 16;
  sequence.picture_height_in_mbs = HEIGHT / 16;
  sequence.seq_fields.bits.chroma_format_idc = 1;
  sequence.seq_fields.bits.frame_mbs_only_flag = 1;
  sequence.seq_fields.bits.direct_8x8_inference_flag = 1;
  sequence.seq_fields.bits.log2_max_frame_num_minus4 = 4;
  sequence.seq_fields.bits.log2_max_pic_order_cnt_lsb_minus4 = 4;
  picture.CurrPic.picture_id = own;
  picture.CurrPic.TopFieldOrderCnt = picture.CurrPic.BottomFieldOrderCnt = 2 * frame;
  for (int i = 0; i < 16; i++) {
    picture.ReferenceFrames[i].picture_id = VA_INVALID_SURFACE;
    picture.ReferenceFrames[i].flags = VA_PICTURE_H264_INVALID;
  }
  picture.coded_buf = coded;
  picture.frame_num = frame % 256 + wrong.frame_num;
  picture.pic_init_qp = 26;
  picture.pic_fields.bits.idr_pic_flag = idr;
  picture.pic_fields.bits.reference_pic_flag = 1;
  picture.pic_fields.bits.entropy_coding_mode_flag = 1;
  picture.pic_fields.bits.deblocking_filter_control_present_flag = 1;
  slice.num_macroblocks = WIDTH / 16 * (HEIGHT / 16);
  slice.slice_type = idr ? 2 : 0;
  slice.pic_order_cnt_lsb = 2 * frame % 256;
  if (idr) {
    slice.idr_pic_id = idr_count++ % 2;
  } else {
    VAPictureH264 reference = {0};
    reference.picture_id = wrong.reference ? (VASurfaceID)wrong.reference : other;
    reference.frame_idx = (frame - 1) % 256;
    reference.flags = VA_PICTURE_H264_SHORT_TERM_REFERENCE;
    reference.TopFieldOrderCnt = reference.BottomFieldOrderCnt = 2 * (frame - 1);
    picture.ReferenceFrames[0] = reference;
    slice.RefPicList0[0] = reference;
  }
  VAStatus status = vaBeginPicture(display, context, input);
  if (status) return status;
  kept_count = 0;
  if (idr) render(VAEncSequenceParameterBufferType, sizeof sequence, &sequence);
  if (wrong.bits_per_second) rate(wrong.bits_per_second);
  if (!wrong.no_picture_parameters) render(VAEncPictureParameterBufferType, sizeof picture, &picture);
  if (!wrong.no_slice) render(VAEncSliceParameterBufferType, sizeof slice, &slice);
  status = vaEndPicture(display, context);
  for (int i = 0; i < kept_count; i++) vaDestroyBuffer(display, kept[i]);
  frame++;
  return status;
}

// The coded picture's size; its bytes go to a file when there is one.
static unsigned take(FILE *file) {
  VACodedBufferSegment *segment;
  VAStatus status = vaMapBuffer(display, coded, (void **)&segment);
  if (status) { say("vaMapBuffer", status); return 0; }
  unsigned size = segment->size;
  if (file) fwrite(segment->buf, 1, size, file);
  vaUnmapBuffer(display, coded);
  return size;
}

static void teardown(void) {
  vaDestroyBuffer(display, coded);
  vaDestroyContext(display, context);
  vaDestroySurfaces(display, inputs, 2);
  vaDestroySurfaces(display, reconstructed, RECONSTRUCTED);
  vaDestroyConfig(display, config);
}

int main(int count, char **arguments) {
  const char *scenario = arguments[2];
  struct wrong right = {0}, wrong = {0};
#define IS(name) (!strcmp(scenario, name))
  int status = open_display(arguments[1]);
  if (status) { say("vaInitialize", status); return 0; }
  setup();
  if (IS("encode")) {
    FILE *file = count > 4 ? fopen(arguments[4], "wb") : NULL;
    double begun = now();
    for (int i = 0; i < atoi(arguments[3]); i++) {
      status = encode(i == 0, right);
      if (status) { say("vaEndPicture", status); break; }
      status = vaSyncSurface(display, inputs[i % 2]);
      if (status) { say("vaSyncSurface", status); break; }
      take(file);
    }
    printf("frames %d milliseconds %d\n", frame, (int)((now() - begun) * 1000));
    if (file) fclose(file);
  } else if (IS("rate-step")) {
    unsigned bytes[4] = {0};
    for (int i = 0; i < 120; i++) {
      struct wrong step = {0};
      step.bits_per_second = i == 0 ? 300000 : i == 60 ? 1200000 : 0;
      want("vaEndPicture", encode(i == 0, step));
      want("vaSyncSurface", vaSyncSurface(display, inputs[i % 2]));
      bytes[i / 30] += take(NULL);
    }
    printf("bytes %u %u %u %u\n", bytes[0], bytes[1], bytes[2], bytes[3]);
  } else if (IS("timeout")) {
    want("vaEndPicture", encode(1, right));
    say("vaSyncSurface2", vaSyncSurface2(display, inputs[0], 50000000));
    VASurfaceStatus ready;
    vaQuerySurfaceStatus(display, inputs[0], &ready);
    say("ready", ready == VASurfaceReady);
    say("vaSyncSurface", vaSyncSurface(display, inputs[0]));
  } else if (IS("end-before-begin")) {
    say("vaEndPicture", vaEndPicture(display, context));
  } else if (IS("begin-twice")) {
    fill(inputs[0], 0);
    want("vaBeginPicture", vaBeginPicture(display, context, inputs[0]));
    say("vaBeginPicture", vaBeginPicture(display, context, inputs[0]));
    vaEndPicture(display, context);
  } else if (IS("empty-input")) {
    say("vaBeginPicture", vaBeginPicture(display, context, inputs[0]));
  } else if (IS("wrong-size")) {
    char bytes[8] = {0};
    buffer(VAEncPictureParameterBufferType, sizeof bytes, bytes);
  } else if (IS("wrong-type")) {
    VAIQMatrixBufferH264 matrix = {0};
    buffer(VAIQMatrixBufferType, sizeof matrix, &matrix);
  } else if (IS("after-destruction")) {
    VASurfaceID gone;
    want("vaCreateSurfaces", vaCreateSurfaces(display, VA_RT_FORMAT_YUV420, 64, 64, &gone, 1, NULL, 0));
    vaDestroySurfaces(display, &gone, 1);
    say("vaSyncSurface", vaSyncSurface(display, gone));
  } else if (IS("map-twice")) {
    void *pointer;
    encode(1, right);
    vaMapBuffer(display, coded, &pointer);
    say("vaMapBuffer", vaMapBuffer(display, coded, &pointer));
    vaUnmapBuffer(display, coded);
    say("vaUnmapBuffer", vaUnmapBuffer(display, coded));
  } else if (IS("no-picture-parameters")) {
    wrong.no_picture_parameters = 1;
    say("vaEndPicture", encode(1, wrong));
  } else if (IS("no-slice")) {
    wrong.no_slice = 1;
    say("vaEndPicture", encode(1, wrong));
  } else if (IS("no-idr-first")) {
    frame = 1;
    say("vaEndPicture", encode(0, right));
  } else if (IS("wrong-frame-num")) {
    encode(1, right);
    wrong.frame_num = 1;
    say("vaEndPicture", encode(0, wrong));
  } else if (IS("reference-never-coded")) {
    encode(1, right);
    wrong.reference = inputs[0] ? inputs[0] : inputs[1];
    say("vaEndPicture", encode(0, wrong));
  } else if (IS("reference-overwritten")) {
    encode(1, right);
    fill(reconstructed[0], 9);
    say("vaEndPicture", encode(0, right));
  } else if (IS("coded-buffer-of-another-context")) {
    VAContextID mine = context, theirs;
    VABufferID own = coded;
    want("vaCreateContext", vaCreateContext(display, config, WIDTH, HEIGHT, VA_PROGRESSIVE, NULL, 0, &theirs));
    context = theirs;
    coded = buffer(VAEncCodedBufferType, 65536, NULL);
    context = mine;
    say("vaEndPicture", encode(1, right));
    vaDestroyBuffer(display, coded);
    vaDestroyContext(display, theirs);
    coded = own;
  } else if (IS("decode-target-of-another-context")) {
    VAConfigID decode;
    VAContextID first, second;
    VASurfaceID target;
    want("vaCreateConfig", vaCreateConfig(display, VAProfileH264High, VAEntrypointVLD, NULL, 0, &decode));
    want("vaCreateSurfaces", vaCreateSurfaces(display, VA_RT_FORMAT_YUV420, WIDTH, HEIGHT, &target, 1, NULL, 0));
    want("vaCreateContext", vaCreateContext(display, decode, WIDTH, HEIGHT, VA_PROGRESSIVE, &target, 1, &first));
    want("vaCreateContext", vaCreateContext(display, decode, WIDTH, HEIGHT, VA_PROGRESSIVE, NULL, 0, &second));
    say("vaBeginPicture", vaBeginPicture(display, second, target));
    want("vaBeginPicture", vaBeginPicture(display, first, target));
    say("vaEndPicture", vaEndPicture(display, first));
    vaDestroyContext(display, first);
    vaDestroyContext(display, second);
    vaDestroySurfaces(display, &target, 1);
    vaDestroyConfig(display, decode);
  } else if (IS("region-outside")) {
    VAConfigID process;
    VAContextID own = context;
    VARectangle region = {0, 0, WIDTH + 2, HEIGHT};
    VAProcPipelineParameterBuffer pipeline = {0};
    want("vaCreateConfig", vaCreateConfig(display, VAProfileNone, VAEntrypointVideoProc, NULL, 0, &process));
    want("vaCreateContext", vaCreateContext(display, process, WIDTH, HEIGHT, 0, NULL, 0, &context));
    fill(inputs[0], 0);
    pipeline.surface = inputs[0];
    pipeline.surface_region = &region;
    want("vaBeginPicture", vaBeginPicture(display, context, inputs[1]));
    render(VAProcPipelineParameterBufferType, sizeof pipeline, &pipeline);
    say("vaEndPicture", vaEndPicture(display, context));
    vaDestroyBuffer(display, kept[0]);
    vaDestroyContext(display, context);
    vaDestroyConfig(display, process);
    context = own;
  } else if (IS("leak")) {
    say("vaTerminate", vaTerminate(display));
    return 0;
  } else {
    printf("no such scenario\n");
    return 2;
  }
  teardown();
  want("vaTerminate", vaTerminate(display));
  return 0;
}
