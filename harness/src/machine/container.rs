//! The container around us, by the marks that each kind leaves.

use std::fs;
use std::path::Path;

/// A kind of container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Container {
    /// Docker, or something that is made like it (`/.dockerenv`).
    Docker,
    /// Podman (`/run/.containerenv`).
    Podman,
    /// A pod of Kubernetes.
    Kubernetes,
    /// LXC or LXD.
    Lxc,
    /// Another one, by the name it gives itself (the variable `container`).
    Other(String),
}

/// What tells a container.
#[derive(Debug, Default)]
struct Marks {
    dockerenv: bool,
    containerenv: bool,
    /// The variable `container`.
    variable: Option<String>,
    /// Whether there is a variable with the address of Kubernetes.
    kubernetes: bool,
    /// `/proc/1/cgroup`; in a namespace of its own it says nothing.
    groups: String,
}

/// The container that this process is in.
pub(super) fn around() -> Option<Container> {
    tell(&Marks {
        dockerenv: Path::new("/.dockerenv").exists(),
        containerenv: Path::new("/run/.containerenv").exists(),
        variable: std::env::var("container").ok().filter(|name| !name.is_empty()),
        kubernetes: std::env::var_os("KUBERNETES_SERVICE_HOST").is_some(),
        groups: fs::read_to_string("/proc/1/cgroup").unwrap_or_default(),
    })
}

/// A pod's containers have the marks of what runs them as well, so it is asked for first.
fn tell(marks: &Marks) -> Option<Container> {
    let group = |name: &str| marks.groups.contains(name);
    if marks.kubernetes || group("kubepods") {
        return Some(Container::Kubernetes);
    }
    if marks.containerenv || marks.variable.as_deref() == Some("podman") || group("libpod") {
        return Some(Container::Podman);
    }
    if marks.dockerenv || group("/docker") {
        return Some(Container::Docker);
    }
    if marks.variable.as_deref() == Some("lxc") || group("/lxc") {
        return Some(Container::Lxc);
    }
    marks.variable.clone().map(Container::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_groups(groups: &str) -> Option<Container> {
        tell(&Marks { groups: groups.to_owned(), ..Marks::default() })
    }

    #[test]
    fn control_groups_tell() {
        assert_eq!(of_groups("0::/\n"), None);
        assert_eq!(of_groups("0::/init.scope\n"), None);
        assert_eq!(of_groups("4:memory:/docker/1f0c\n"), Some(Container::Docker));
        assert_eq!(of_groups("0::/system.slice/libpod-3a.scope\n"), Some(Container::Podman));
        assert_eq!(of_groups("3:cpu:/lxc/web\n"), Some(Container::Lxc));
        let pod = "11:pids:/kubepods/burstable/pod5/0a\n";
        assert_eq!(of_groups(pod), Some(Container::Kubernetes));
    }

    #[test]
    fn a_pod_that_docker_runs_is_a_pod() {
        let marks = Marks { dockerenv: true, kubernetes: true, ..Marks::default() };
        assert_eq!(tell(&marks), Some(Container::Kubernetes));
    }

    #[test]
    fn one_that_is_not_known_has_its_own_name() {
        let named =
            |name: &str| tell(&Marks { variable: Some(name.to_owned()), ..Marks::default() });
        assert_eq!(named("systemd-nspawn"), Some(Container::Other("systemd-nspawn".to_owned())));
        assert_eq!(named("podman"), Some(Container::Podman));
    }
}
