//! Room that tools for AppImages expect in the program: where an update is announced, and a signature. Bosc's own updates need neither,
//! so both stay empty.

/// Where zsync-based tools look for updates.
#[used]
#[unsafe(link_section = ".upd_info")]
static UPDATE_INFORMATION: [u8; 1024] = [0; 1024];

/// Where `appimagetool --sign` puts its signature.
#[used]
#[unsafe(link_section = ".sha256_sig")]
static SIGNATURE: [u8; 1024] = [0; 1024];
