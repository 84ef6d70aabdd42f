//! The members of types: what may lie in which place of a value, and what pointers there point to (DWARF 4, 5.5
//! and 5.7).

use gimli::{
    DW_AT_byte_size, DW_AT_count, DW_AT_data_member_location, DW_AT_declaration, DW_AT_name,
    DW_AT_upper_bound, Dwarf, EntriesTreeNode, UnitOffset,
};

use super::debug::{Entry, Indexed};
use super::image::Reader;
use super::type_name::short;

/// Types in types that are looked into: a map in a lock in a cell is a dozen deep.
const DEPTH_MAX: usize = 64;
/// Types that are looked into for one word. Futures in futures have some variants at each level, and of so many
/// nothing can be told.
const VISITS_MAX: u32 = 2_000;

/// The types of one unit.
pub(super) struct Types<'a> {
    pub(super) dwarf: &'a Dwarf<Reader>,
    pub(super) unit: &'a Indexed,
}

/// What may lie in one place of a value.
pub(super) struct Leaf {
    /// The types around it, outermost first, each with its field.
    pub(super) fields: Vec<(UnitOffset, String)>,
    pub(super) is_pointer: bool,
    pub(super) target: Option<(UnitOffset, Repeats)>,
}

/// What has been found of a place.
#[derive(Default)]
struct Search {
    leaves: Vec<Leaf>,
    /// The types around the one that is looked into, each with its field.
    fields: Vec<(UnitOffset, String)>,
    visits: u32,
}

impl Search {
    fn found(&mut self, is_pointer: bool, target: Option<(UnitOffset, Repeats)>) {
        self.leaves.push(Leaf { fields: self.fields.clone(), is_pointer, target });
    }
}

/// How often a value stands there, seen from where a pointer to it points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeats {
    Once,
    /// From there on, as in a vector.
    Upwards,
    /// Up to there, as in a hash table: hashbrown points to what follows its entries.
    Downwards,
}

impl Repeats {
    /// Where in one value of `bytes` a word lies that is `distance` bytes behind what is pointed to.
    pub(super) fn within(self, distance: i64, bytes: u64) -> Option<u64> {
        let up = u64::try_from(distance).ok();
        match self {
            Self::Once => up.filter(|at| *at < bytes),
            Self::Upwards => up?.checked_rem(bytes),
            Self::Downwards if distance < 0 => {
                let below = distance.unsigned_abs().checked_rem(bytes)?;
                Some(if below == 0 { 0 } else { bytes - below })
            }
            Self::Downwards => None,
        }
    }
}

/// A field of a type.
struct Member {
    name: String,
    at: u64,
    kind: UnitOffset,
}

impl Types<'_> {
    /// All that may lie at a place of a value.
    pub(super) fn leaves(&self, kind: UnitOffset, at: u64) -> Vec<Leaf> {
        let mut search = Search::default();
        self.descend(kind, at, 0, &mut search);
        if search.visits < VISITS_MAX { search.leaves } else { Vec::new() }
    }

    fn descend(&self, kind: UnitOffset, at: u64, depth: usize, search: &mut Search) {
        if depth > DEPTH_MAX || search.visits == VISITS_MAX {
            return;
        }
        search.visits += 1;
        let Ok(entry) = self.unit.unit.entry(kind) else { return };
        let of = self.unit.type_of(&entry);
        match entry.tag() {
            gimli::DW_TAG_structure_type | gimli::DW_TAG_class_type | gimli::DW_TAG_union_type => {
                for member in self.members(kind) {
                    let end =
                        self.unit.bytes(member.kind).map(|bytes| member.at.saturating_add(bytes));
                    if member.at <= at && end.is_some_and(|end| at < end) {
                        search.fields.push((kind, member.name));
                        self.descend(member.kind, at - member.at, depth + 1, search);
                        search.fields.pop();
                    }
                }
            }
            gimli::DW_TAG_array_type => {
                let within = of.and_then(|of| Some((of, at.checked_rem(self.unit.bytes(of)?)?)));
                if let Some((of, at)) = within {
                    self.descend(of, at, depth + 1, search);
                }
            }
            gimli::DW_TAG_pointer_type | gimli::DW_TAG_reference_type if at == 0 => {
                let target = self.target(of, &search.fields);
                search.found(true, target);
            }
            gimli::DW_TAG_base_type => search.found(false, None),
            tag if is_alias(tag) => {
                if let Some(of) = of {
                    self.descend(of, at, depth + 1, search);
                }
            }
            _ => {}
        }
    }

    /// What a pointer to `of` points to. Containers of the standard library have pointers to bytes, and what
    /// those are of is a parameter of the type around them.
    fn target(
        &self,
        of: Option<UnitOffset>,
        fields: &[(UnitOffset, String)],
    ) -> Option<(UnitOffset, Repeats)> {
        for (around, _) in fields.iter().rev() {
            let repeats = match self.library_type(*around) {
                Some(name) if name.starts_with("RawVec<") => Repeats::Upwards,
                Some(name) if name.starts_with("RawTable<") => Repeats::Downwards,
                _ => continue,
            };
            return Some((self.parameter(*around)?, repeats));
        }
        let around = fields.last().and_then(|(around, _)| self.name(*around));
        let is_slice = around.is_some_and(|name| is_slice(&short(&name)));
        Some((of?, if is_slice { Repeats::Upwards } else { Repeats::Once }))
    }

    /// A node of the standard library's B-tree that has others below it is pointed to as if it had none.
    pub(super) fn inner_node(&self, leaf: UnitOffset) -> Option<UnitOffset> {
        self.library_type(leaf).filter(|name| name.starts_with("LeafNode<"))?;
        let parent = self.members(leaf).into_iter().find(|member| member.name == "parent")?;
        let targets = self.leaves(parent.kind, 0).into_iter().filter_map(|leaf| leaf.target);
        same(targets).map(|(kind, _)| kind)
    }

    /// Whether a type is a pointer that owns the one value which it points to.
    pub(super) fn is_owner(&self, kind: UnitOffset) -> bool {
        const OWNERS: [&str; 3] = ["Box<", "Rc<", "Arc<"];
        let name = self.name(kind).map(|name| short(&name)).unwrap_or_default();
        OWNERS.iter().any(|owner| name.starts_with(owner)) && !is_slice(&name)
    }

    /// The name of a type, where it is one of the standard library's.
    fn library_type(&self, kind: UnitOffset) -> Option<String> {
        let mut path = self.unit.path(self.dwarf, kind)?;
        let is_library = matches!(path.first()?.0.as_str(), "alloc" | "hashbrown");
        path.pop().filter(|_| is_library).map(|(name, _)| name)
    }

    pub(super) fn name(&self, kind: UnitOffset) -> Option<String> {
        self.unit.text(self.dwarf, &self.unit.unit.entry(kind).ok()?, DW_AT_name)
    }

    /// What the first parameter of a type stands for.
    fn parameter(&self, kind: UnitOffset) -> Option<UnitOffset> {
        let mut found = None;
        self.each_child(kind, |child| {
            let entry = child.entry();
            if found.is_none() && entry.tag() == gimli::DW_TAG_template_type_parameter {
                found = self.unit.type_of(entry);
            }
        });
        found
    }

    /// The fields of a type; of an enumeration its variants, each as a field.
    fn members(&self, kind: UnitOffset) -> Vec<Member> {
        let mut members = Vec::new();
        self.each_child(kind, |child| match child.entry().tag() {
            gimli::DW_TAG_member => members.extend(self.member(child.entry())),
            gimli::DW_TAG_variant_part => {
                let _ = each(child, |variant| {
                    let is_variant = variant.entry().tag() == gimli::DW_TAG_variant;
                    let _ = each(variant, |child| {
                        if is_variant && child.entry().tag() == gimli::DW_TAG_member {
                            members.extend(self.member(child.entry()));
                        }
                    });
                });
            }
            _ => {}
        });
        members
    }

    fn member(&self, entry: &Entry) -> Option<Member> {
        // One of C++ that all values share lies elsewhere.
        if entry.attr_value(DW_AT_declaration).is_some() {
            return None;
        }
        let at = match entry.attr_value(DW_AT_data_member_location) {
            Some(at) => at.udata_value()?,
            None => 0,
        };
        let name = self.unit.text(self.dwarf, entry, DW_AT_name).unwrap_or_default();
        Some(Member { name, at, kind: self.unit.type_of(entry)? })
    }

    fn each_child(&self, kind: UnitOffset, then: impl FnMut(EntriesTreeNode<'_, '_, Reader>)) {
        let Ok(mut tree) = self.unit.unit.entries_tree(Some(kind)) else { return };
        if let Ok(root) = tree.root() {
            // What cannot be read further has no more children.
            let _ = each(root, then);
        }
    }
}

/// What all are, where they do not differ.
pub(super) fn same<T: PartialEq>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}

fn each(
    node: EntriesTreeNode<'_, '_, Reader>,
    mut then: impl FnMut(EntriesTreeNode<'_, '_, Reader>),
) -> gimli::Result<()> {
    let mut children = node.children();
    while let Some(child) = children.next()? {
        then(child);
    }
    Ok(())
}

/// Whether a type is another one under a name of its own, or with a condition on its use.
fn is_alias(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_restrict_type
            | gimli::DW_TAG_atomic_type
    )
}

/// Whether a type is a pointer with a number of elements.
fn is_slice(name: &str) -> bool {
    const SLICES: [&str; 5] = ["&[", "&mut [", "*const [", "*mut [", "Box<["];
    SLICES.iter().any(|slice| name.starts_with(slice))
}

impl Indexed {
    /// The size of a type.
    pub(super) fn bytes(&self, kind: UnitOffset) -> Option<u64> {
        const ALIASES_MAX: usize = 8;
        let mut at = kind;
        for _ in 0..ALIASES_MAX {
            let entry = self.unit.entry(at).ok()?;
            if let Some(size) = entry.attr_value(DW_AT_byte_size) {
                return size.udata_value();
            }
            match entry.tag() {
                gimli::DW_TAG_pointer_type | gimli::DW_TAG_reference_type => {
                    return Some(size_of::<u64>() as u64);
                }
                gimli::DW_TAG_array_type => {
                    return self.bytes(self.type_of(&entry)?)?.checked_mul(self.elements(at)?);
                }
                _ => at = self.type_of(&entry)?,
            }
        }
        None
    }

    /// How many elements an array has, in all of its dimensions.
    fn elements(&self, array: UnitOffset) -> Option<u64> {
        let mut tree = self.unit.entries_tree(Some(array)).ok()?;
        let mut all = Some(1u64);
        each(tree.root().ok()?, |child| {
            let range = child.entry();
            if range.tag() == gimli::DW_TAG_subrange_type {
                let count = range.attr_value(DW_AT_count).and_then(|count| count.udata_value());
                let last = || range.attr_value(DW_AT_upper_bound)?.udata_value()?.checked_add(1);
                all = all.zip(count.or_else(last)).and_then(|(all, count)| all.checked_mul(count));
            }
        })
        .ok()?;
        all
    }
}
