// What CUDA's own headers would give, for clang without a CUDA toolkit; and for a C++ compiler, which makes of the kernels
// functions that a test runs element by element.
#pragma once

#ifdef __CUDA__
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))

// This thread's place in the grid.
#define GRID_X (__nvvm_read_ptx_sreg_ctaid_x() * __nvvm_read_ptx_sreg_ntid_x() + __nvvm_read_ptx_sreg_tid_x())
#define GRID_Y (__nvvm_read_ptx_sreg_ctaid_y() * __nvvm_read_ptx_sreg_ntid_y() + __nvvm_read_ptx_sreg_tid_y())
#else
#define __global__
#define __device__

static unsigned host_grid_x, host_grid_y;
#define GRID_X host_grid_x
#define GRID_Y host_grid_y
#endif
