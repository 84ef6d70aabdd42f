//! What a process has, counted by where it was made, or by name where that is not known: two of these,
//! some time apart, tell what has grown.

use std::collections::{HashMap, HashSet};

use watertight_report::model::Resource;

use super::notes::Notes;
use crate::descendant::is_believed;
use crate::outside::Relative;
use crate::probe::socket::Socket;
use crate::probe::{fd, mapping, socket, thread};
use crate::table::ENTRY_MAPPING;

/// By what things are put together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// Everything of one resource that was made under one stack.
    Stack(Resource, u32),
    /// Everything of one resource that has one name.
    Name(Resource, String),
}

impl Key {
    pub(crate) fn resource(&self) -> Resource {
        match self {
            Self::Stack(resource, _) | Self::Name(resource, _) => *resource,
        }
    }
}

/// Things that are put together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// How many, or how many bytes for a resource that is counted in bytes.
    pub(crate) amount: u64,
    /// The newest of them by name, or how many blocks they are.
    pub(crate) what: String,
}

/// What a process has at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Census {
    /// Seconds since the series of the process began.
    pub(crate) at_s: f64,
    pub(crate) groups: HashMap<Key, Group>,
}

/// More names than that are put together by folder: temporary files, say.
const NAMES_MAX: usize = 256;

impl Census {
    /// Looks at everything that is not only counted: some microseconds for each descriptor and thread. What
    /// cannot be read is left out.
    pub(crate) fn take(pid: u32, at_s: f64, notes: Option<&Notes>, family: &[Relative]) -> Self {
        let mut census = Self { at_s, groups: HashMap::new() };
        census.descriptors(pid, notes);
        census.threads(pid, notes);
        for child in family {
            let spawn = notes.and_then(|notes| notes.region.spawn(child.pid));
            let zombie = if child.is_zombie { " (a zombie: nobody waits for it)" } else { "" };
            let what = format!("{}{zombie}", child.name);
            census.add(Resource::Process, spawn.map(|(stack, _)| stack), &what, 1);
        }
        if let Some(notes) = notes {
            census.heap(notes);
            census.mappings(pid, notes);
        }
        census.coarsen();
        census
    }

    fn descriptors(&mut self, pid: u32, notes: Option<&Notes>) {
        let open = fd::list(pid).unwrap_or_default();
        let sockets = socket::table(pid, fd::socket_inodes(&open));
        let listening = listening(sockets.values());
        for descriptor in &open {
            let believed = notes.filter(|notes| is_believed(&notes.region, descriptor));
            let stack = believed.and_then(|notes| notes.region.fd_stack(descriptor.number));
            let socket = sockets.get(&descriptor.inode).filter(|_| descriptor.is_socket());
            let (resource, name) = match socket {
                Some(socket) => (Resource::Socket, kind_of(socket, &listening)),
                None if descriptor.is_socket() => (Resource::Socket, "socket".to_owned()),
                None => (Resource::Fd, kind_or_path(&descriptor.link)),
            };
            self.add(resource, stack, &name, 1);
        }
    }

    fn threads(&mut self, pid: u32, notes: Option<&Notes>) {
        for thread in thread::list(pid).unwrap_or_default() {
            let stack = notes.and_then(|notes| notes.region.thread_stack(thread.tid));
            self.add(Resource::Thread, stack, &thread.name, 1);
        }
    }

    fn heap(&mut self, notes: &Notes) {
        for (stack, live) in notes.region.live_stacks() {
            // Of a sampled block that stands for less than one, the bytes are known.
            if live.bytes > 0 {
                let group = self.group(Key::Stack(Resource::Heap, stack));
                group.amount += live.bytes as u64;
                group.what = crate::judge::blocks_text(live.blocks.max(1));
            }
        }
    }

    fn mappings(&mut self, pid: u32, notes: &Notes) {
        let noted = notes.region.entries(&[ENTRY_MAPPING]);
        for mapping in mapping::confirmed(pid, &noted).unwrap_or_default() {
            let what = mapping.file.as_deref().unwrap_or("anonymous memory");
            self.add(Resource::Mapping, Some(mapping.stack), what, mapping.bytes);
        }
    }

    fn add(&mut self, resource: Resource, stack: Option<u32>, what: &str, amount: u64) {
        let group = self.group(match stack {
            Some(stack) => Key::Stack(resource, stack),
            None => Key::Name(resource, what.to_owned()),
        });
        group.amount += amount;
        group.what = what.to_owned();
    }

    fn group(&mut self, key: Key) -> &mut Group {
        self.groups.entry(key).or_default()
    }

    /// Puts paths together by folder where there are too many.
    fn coarsen(&mut self) {
        let is_path = |key: &Key| matches!(key, Key::Name(_, name) if name.starts_with('/'));
        if self.groups.keys().filter(|key| is_path(key)).count() <= NAMES_MAX {
            return;
        }
        let all = std::mem::take(&mut self.groups);
        for (key, group) in all {
            let key = match key {
                Key::Name(resource, name) if name.starts_with('/') => {
                    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                    Key::Name(resource, format!("{folder}/*"))
                }
                key => key,
            };
            let sum = self.group(key);
            sum.amount += group.amount;
            sum.what = group.what;
        }
    }

    /// What there is more of than in an earlier census, by resource and amount. `middle` lies between the
    /// two: what was there then already, and has not grown since, has come and stayed.
    pub(crate) fn grown_since(
        &self,
        earlier: &Self,
        middle: Option<&Self>,
    ) -> Vec<(Key, Group, u64)> {
        let amount =
            |census: &Self, key: &Key| census.groups.get(key).map_or(0, |group| group.amount);
        let grown: Vec<(Key, Group, u64)> = self
            .groups
            .iter()
            .filter(|(key, group)| middle.is_none_or(|middle| group.amount > amount(middle, key)))
            .filter_map(|(key, group)| {
                let more =
                    group.amount.checked_sub(amount(earlier, key)).filter(|more| *more > 0)?;
                Some((key.clone(), group.clone(), more))
            })
            .collect();
        let mut grown = by_folder(grown);
        grown.sort_by(|a, b| (a.0.resource(), b.2, &a.0).cmp(&(b.0.resource(), a.2, &b.0)));
        grown
    }
}

/// So many paths of one folder that have grown by one each are one thing: temporary files.
const LIKE_MIN: usize = 3;

/// Puts those together that only a name of its own tells apart.
fn by_folder(grown: Vec<(Key, Group, u64)>) -> Vec<(Key, Group, u64)> {
    let folder = |key: &Key, more: u64| match key {
        Key::Name(resource, name) if name.starts_with('/') && more == 1 => {
            let deleted = if name.ends_with(" (deleted)") { " (deleted)" } else { "" };
            let (folder, _) = name.rsplit_once('/')?;
            Some(Key::Name(*resource, format!("{folder}/*{deleted}")))
        }
        _ => None,
    };
    let mut alike: HashMap<Key, usize> = HashMap::new();
    for (key, _, more) in &grown {
        if let Some(folder) = folder(key, *more) {
            *alike.entry(folder).or_default() += 1;
        }
    }
    let (mut together, mut rest): (HashMap<Key, (Group, u64)>, Vec<_>) =
        (HashMap::new(), Vec::new());
    for (key, group, more) in grown {
        match folder(&key, more).filter(|folder| alike[folder] >= LIKE_MIN) {
            Some(folder) => {
                let sum = together.entry(folder).or_default();
                sum.0.amount += group.amount;
                sum.0.what = group.what;
                sum.1 += more;
            }
            None => rest.push((key, group, more)),
        }
    }
    rest.extend(together.into_iter().map(|(key, (group, more))| (key, group, more)));
    rest
}

/// The ports that somebody can connect to.
fn listening<'a>(sockets: impl Iterator<Item = &'a Socket>) -> HashSet<String> {
    let local =
        |socket: &Socket| Some(port_of(socket.name.strip_prefix("tcp listener ")?).to_owned());
    sockets.filter_map(local).collect()
}

/// What sockets have in common: where they are connected to, or for those of clients where these came to, and the
/// state. The other port is another one each time.
fn kind_of(socket: &Socket, listening: &HashSet<String>) -> String {
    let (protocol, state) = (socket.protocol, socket.state);
    let addresses = || {
        let pair = socket.name.strip_prefix(protocol)?.trim_start();
        let (local, rest) = pair.split_once(" -> ")?;
        Some((local, rest.split(' ').next()?))
    };
    match addresses() {
        Some((local, _)) if listening.contains(port_of(local)) => {
            format!("{protocol} accepted at {local} ({state})")
        }
        Some((_, remote)) => format!("{protocol} -> {remote} ({state})"),
        // A port of its own that is bound to nothing is another one each time.
        None if protocol == "udp" => format!("udp ({state})"),
        None => socket.name.clone(),
    }
}

/// `127.0.0.1:80`, `[::]:80`.
fn port_of(address: &str) -> &str {
    address.rsplit(':').next().unwrap_or(address)
}

/// A path as it is; of the kernel's own kinds (`pipe:[18]`) the kind.
fn kind_or_path(link: &str) -> String {
    match link.split_once(":[") {
        Some((kind, _)) if !link.starts_with('/') => match kind {
            "anon_inode" => {
                link.trim_start_matches("anon_inode:").trim_matches(['[', ']']).to_owned()
            }
            kind => kind.to_owned(),
        },
        _ => link.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(groups: &[(Key, u64)]) -> Census {
        let group = |amount| Group { amount, what: "x".to_owned() };
        let groups = groups.iter().map(|(key, amount)| (key.clone(), group(*amount))).collect();
        Census { at_s: 0.0, groups }
    }

    #[test]
    fn what_there_is_more_of_comes_by_size_within_its_resource() {
        let [a, b, c] = [1, 2, 3].map(|stack| Key::Stack(Resource::Fd, stack));
        let heap = Key::Name(Resource::Heap, "h".to_owned());
        let before = census(&[(a.clone(), 4), (b.clone(), 9)]);
        let after = census(&[(a.clone(), 5), (b, 9), (c.clone(), 3), (heap.clone(), 70)]);
        let grown: Vec<_> =
            after.grown_since(&before, None).into_iter().map(|it| (it.0, it.2)).collect();
        assert_eq!(grown, [(c.clone(), 3), (a, 1), (heap.clone(), 70)]);
        // What has not grown in the later half has stopped.
        let middle = census(&[(c, 3)]);
        let grown: Vec<_> =
            after.grown_since(&before, Some(&middle)).into_iter().map(|it| it.2).collect();
        assert_eq!(grown, [1, 70]);
    }

    #[test]
    fn temporary_files_are_told_as_one() {
        let file = |name: &str| (Key::Name(Resource::Fd, name.to_owned()), 1);
        let files =
            ["/tmp/a1 (deleted)", "/tmp/b7 (deleted)", "/tmp/x (deleted)", "/tmp/c", "/etc/d"];
        let grown = census(&files.map(file)).grown_since(&Census::default(), None);
        let named: Vec<_> = grown.iter().map(|(key, _, more)| (key.clone(), *more)).collect();
        let name = |name: &str| Key::Name(Resource::Fd, name.to_owned());
        assert_eq!(
            named,
            [(name("/tmp/* (deleted)"), 3), (name("/etc/d"), 1), (name("/tmp/c"), 1)]
        );
    }

    #[test]
    fn too_many_paths_are_put_together_by_folder() {
        let mut census = Census::default();
        for number in 0..=NAMES_MAX {
            census.add(Resource::Fd, None, &format!("/tmp/a/{number}"), 1);
        }
        census.add(Resource::Fd, None, "pipe", 2);
        census.coarsen();
        let amount = |name: &str| census.groups[&Key::Name(Resource::Fd, name.to_owned())].amount;
        assert_eq!((amount("/tmp/a/*"), amount("pipe")), (NAMES_MAX as u64 + 1, 2));
        assert_eq!(census.groups.len(), 2);
    }

    #[test]
    fn sockets_of_one_service_are_of_one_kind() {
        let socket = |state, name: &str| Socket { protocol: "tcp", state, name: name.to_owned() };
        let sockets = [
            socket("listen", "tcp listener 0.0.0.0:80"),
            socket("close_wait", "tcp 127.0.0.1:80 -> 127.0.0.1:40001 (close_wait)"),
            socket("close_wait", "tcp 127.0.0.1:80 -> 127.0.0.1:40002 (close_wait)"),
            socket("established", "tcp 127.0.0.1:50001 -> 10.0.0.1:5432 (established)"),
        ];
        let listening = listening(sockets.iter());
        let kinds = sockets.each_ref().map(|socket| kind_of(socket, &listening));
        assert_eq!(kinds[1], "tcp accepted at 127.0.0.1:80 (close_wait)");
        assert_eq!(kinds[1], kinds[2]);
        assert_eq!(kinds[3], "tcp -> 10.0.0.1:5432 (established)");
        assert_eq!(kinds[0], "tcp listener 0.0.0.0:80");
    }

    #[test]
    fn the_kernels_kinds_have_no_number() {
        for (link, kind) in [
            ("pipe:[18]", "pipe"),
            ("anon_inode:[eventpoll]", "eventpoll"),
            ("anon_inode:inotify", "anon_inode:inotify"),
            ("/tmp/a:[b", "/tmp/a:[b"),
        ] {
            assert_eq!(kind_or_path(link), kind);
        }
    }

    #[test]
    fn a_process_is_seen_to_open_something() {
        let own = std::process::id();
        let before = Census::take(own, 0.0, None, &[]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("census");
        let _open = [0, 1, 2].map(|_| std::fs::File::create(&path).unwrap());
        let grown = Census::take(own, 1.0, None, &[]).grown_since(&before, None);
        let ours = Key::Name(Resource::Fd, path.to_string_lossy().into_owned());
        assert!(grown.iter().any(|(key, _, more)| *key == ours && *more == 3), "{grown:?}");
    }
}
