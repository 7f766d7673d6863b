/* bcryptprimitives.dll for a Wine that has none, as Wine 8: the one function that Rust's standard library takes from it.
   SystemFunction036 is what advapi32 calls RtlGenRandom. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(void *buffer, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(BYTE *buffer, SIZE_T length)
{
    const SIZE_T most = 0x10000000;
    while (length > 0) {
        ULONG part = (ULONG)(length < most ? length : most);
        if (!SystemFunction036(buffer, part))
            return FALSE;
        buffer += part;
        length -= part;
    }
    return TRUE;
}
