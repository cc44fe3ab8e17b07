// What CUDA's own headers would give, for clang without a CUDA toolkit.
#pragma once

#define __global__ __attribute__((global))

// This thread's place in the grid.
#define GRID_X (__nvvm_read_ptx_sreg_ctaid_x() * __nvvm_read_ptx_sreg_ntid_x() + __nvvm_read_ptx_sreg_tid_x())
#define GRID_Y (__nvvm_read_ptx_sreg_ctaid_y() * __nvvm_read_ptx_sreg_ntid_y() + __nvvm_read_ptx_sreg_tid_y())
