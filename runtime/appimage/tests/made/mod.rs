//! A small squashfs made by hand, for the tests here and the fuzz target that reads images.

/// A squashfs whose tables and files are not compressed, so that every changed byte is met by the reader: `folder/file`, which takes a
/// block and a shared end, and `link`.
pub(crate) fn plain() -> Vec<u8> {
    const BLOCK: u32 = 4096;
    const PLAIN: u32 = 1 << 24;
    let mut image = vec![0; 96];
    let data = image.len() as u64;
    image.extend((0..BLOCK).map(|n| n as u8));
    let shared = image.len() as u64;
    image.extend(b"the end");
    let inode = |kind: u16, number: u32| {
        let mut node = Vec::new();
        node.extend(kind.to_le_bytes());
        node.extend(0o755u16.to_le_bytes());
        node.extend([0; 4]);
        node.extend(7u32.to_le_bytes());
        node.extend(number.to_le_bytes());
        node
    };
    let folder = |number: u32, bytes: u16, offset: u16| {
        let mut node = inode(1, number);
        node.extend(0u32.to_le_bytes());
        node.extend(2u32.to_le_bytes());
        node.extend((bytes + 3).to_le_bytes());
        node.extend(offset.to_le_bytes());
        node.extend(1u32.to_le_bytes());
        node
    };
    let entries = |names: &[(&str, u16, u16)]| {
        let mut listing = Vec::new();
        listing.extend((names.len() as u32 - 1).to_le_bytes());
        listing.extend([0; 8]);
        for (name, kind, offset) in names {
            listing.extend(offset.to_le_bytes());
            listing.extend([0; 2]);
            listing.extend(kind.to_le_bytes());
            listing.extend((name.len() as u16 - 1).to_le_bytes());
            listing.extend(name.bytes());
        }
        listing
    };
    let mut file = inode(2, 1);
    file.extend((data as u32).to_le_bytes());
    file.extend(0u32.to_le_bytes());
    file.extend(0u32.to_le_bytes());
    file.extend((BLOCK + 7).to_le_bytes());
    file.extend((BLOCK | PLAIN).to_le_bytes());
    let mut link = inode(3, 2);
    link.extend(1u32.to_le_bytes());
    link.extend(11u32.to_le_bytes());
    link.extend(b"folder/file");
    let inner = entries(&[("file", 2, 0)]);
    let outer = entries(&[("folder", 1, 100), ("link", 3, file.len() as u16)]);
    let mut nodes = [file, link].concat();
    nodes.resize(100, 0);
    nodes.extend(folder(3, inner.len() as u16, 0));
    let root = nodes.len() as u64;
    nodes.extend(folder(4, outer.len() as u16, inner.len() as u16));
    let table = |image: &mut Vec<u8>, bytes: &[u8]| {
        let at = image.len() as u64;
        image.extend((bytes.len() as u16 | 0x8000).to_le_bytes());
        image.extend(bytes);
        at
    };
    let inode_table = table(&mut image, &nodes);
    let folder_table = table(&mut image, &[inner, outer].concat());
    let mut fragment = shared.to_le_bytes().to_vec();
    fragment.extend((7 | PLAIN).to_le_bytes());
    fragment.extend([0; 4]);
    let fragment = table(&mut image, &fragment);
    let fragment_table = image.len() as u64;
    image.extend(fragment.to_le_bytes());
    let bytes = image.len() as u64;
    let mut head = b"hsqs".to_vec();
    head.extend(4u32.to_le_bytes());
    head.extend(7u32.to_le_bytes());
    head.extend(BLOCK.to_le_bytes());
    head.extend(1u32.to_le_bytes());
    for field in [1u16, 12, 0, 1, 4, 0] {
        head.extend(field.to_le_bytes());
    }
    for field in [
        root,
        bytes,
        u64::MAX,
        u64::MAX,
        inode_table,
        folder_table,
        fragment_table,
        u64::MAX,
    ] {
        head.extend(field.to_le_bytes());
    }
    image[..96].copy_from_slice(&head);
    image
}
