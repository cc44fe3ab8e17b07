/* What bindings are made of, by examples/bindings.rs. */
#include <va/va.h>
#include <va/va_dec_hevc.h>
#include <va/va_enc_h264.h>
#include <va/va_enc_hevc.h>
#include <va/va_vpp.h>
