/* SPDX-License-Identifier: Apache-2.0
   Wine 8 lacks ProcessPrng, which Rust's standard library asks for random bytes. For tests under wine alone. */
#include <windows.h>
#include <ntsecapi.h>
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return RtlGenRandom(data, (ULONG)size); }
