//! The primitive data of DWARF: fixed-size integers, LEB128, encoded pointers. Little-endian.

/// A cursor over bytes that knows where they are mapped. Past the end is `None`, never a panic.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) address: usize,
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        self.address = self.address.wrapping_add(N);
        Some(*head)
    }

    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        self.bytes = self.bytes.get(count..)?;
        self.address = self.address.wrapping_add(count);
        Some(())
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// A length and that many bytes.
    pub(crate) fn block(&mut self) -> Option<&'a [u8]> {
        let length = self.uleb()?;
        let block = self.bytes.get(..length)?;
        self.skip(length)?;
        Some(block)
    }

    pub(crate) fn uleb(&mut self) -> Option<usize> {
        let (value, _, _) = self.leb()?;
        usize::try_from(value).ok()
    }

    pub(crate) fn sleb(&mut self) -> Option<i64> {
        let (value, bits, negative) = self.leb()?;
        let extension = if negative && bits < u64::BITS { u64::MAX << bits } else { 0 };
        Some((value | extension).cast_signed())
    }

    /// LEB128 (DWARF 5, 7.6): the bits, how many there are, and whether the topmost is set. At most
    /// ten bytes.
    fn leb(&mut self) -> Option<(u64, u32, bool)> {
        let (mut value, mut bits) = (0, 0);
        while bits < u64::BITS {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << bits;
            bits += 7;
            if byte & 0x80 == 0 {
                return Some((value, bits, byte & 0x40 != 0));
            }
        }
        None
    }

    /// A pointer in the encoding of LSB, chapter 10: how it is stored (low half), what it is
    /// relative to (high half).
    pub(crate) fn pointer(&mut self, encoding: u8, header: usize) -> Option<usize> {
        let here = self.address;
        let value = match encoding & 0x0f {
            0x00 | 0x04 | 0x0c => self.u64()? as usize,
            0x01 => self.uleb()?,
            0x02 => usize::from(self.u16()?),
            0x03 => self.u32()? as usize,
            0x09 => self.sleb()? as usize,
            0x0a => self.u16()?.cast_signed() as usize,
            0x0b => self.u32()?.cast_signed() as usize,
            _ => return None,
        };
        match encoding & 0xf0 {
            0x00 => Some(value),
            0x10 => Some(here.wrapping_add(value)),
            0x30 => Some(header.wrapping_add(value)),
            // Relative to text or function, aligned, indirect: not used for code addresses.
            _ => None,
        }
    }
}
