//! Builds the agent from `agent/` and leaves it where `src/agent.rs` embeds it.
//!
//! The agent is a preloaded object, not a dependency: cargo cannot build a `cdylib` for a library
//! that links it into nothing, and a nested package would be left out of our crate's tarball. So we
//! call the compiler that builds this crate, always optimised, without the user's RUSTFLAGS.
//! Where no agent can be built we embed the reason instead and never fail the user's build.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const OBJECT: &str = "watertight-agent.so";

fn main() {
    println!("cargo::rerun-if-changed=agent");
    println!("cargo::rerun-if-changed=src/table.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let (object, reason) = match build(&out) {
        Ok(object) => (fs::read(object).unwrap_or_default(), String::new()),
        Err(reason) => (Vec::new(), reason),
    };
    let generated = format!(
        "pub(crate) const UNAVAILABLE: &str = {reason:?};\npub(crate) const FINGERPRINT: u64 = {};\n",
        fingerprint(&object)
    );
    fs::write(out.join("agent.bin"), object).expect("OUT_DIR can be written");
    fs::write(out.join("agent_build.rs"), generated).expect("OUT_DIR can be written");
}

/// FNV-1a, to keep agents of different builds apart.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The agent's path, or why there is none.
fn build(out: &Path) -> Result<PathBuf, String> {
    let cfg = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let (os, arch, abi) = (cfg("OS"), cfg("ARCH"), cfg("ENV"));
    if (os.as_str(), arch.as_str(), abi.as_str()) != ("linux", "x86_64", "gnu") {
        return Err(format!(
            "there is no agent for {arch}-{os}-{abi} yet, only for x86_64-linux-gnu"
        ));
    }
    if env::var_os("DOCS_RS").is_some() || env::var_os("CARGO_CFG_MIRI").is_some() {
        return Err("no agent is built for documentation and Miri".to_owned());
    }
    let object = out.join(OBJECT);
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc
        .args(["--crate-name", "watertight_agent", "--crate-type", "cdylib", "--edition", "2024"])
        .args(["-C", "opt-level=3", "-C", "panic=abort", "-C", "force-unwind-tables=yes"])
        .args(["-C", "codegen-units=1", "-C", "strip=symbols", "-C", "relocation-model=pic"])
        // No DT_NEEDED and nothing lazily bound: every symbol is resolved when the object is loaded.
        .args(["-C", "link-arg=-nostdlib", "-C", "link-arg=-Wl,-z,now"])
        .arg("--target")
        .arg(env::var("TARGET").unwrap_or_default())
        .arg("-o")
        .arg(&object)
        .arg("agent/lib.rs");
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut argument = std::ffi::OsString::from("linker=");
        argument.push(linker);
        rustc.arg("-C").arg(argument);
    }
    let output = rustc.output().map_err(|error| format!("the compiler did not start: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        for line in text.lines().take(20) {
            println!("cargo::warning=watertight agent: {line}");
        }
        return Err("the agent did not compile: see the build's warnings".to_owned());
    }
    for line in text.lines().filter(|line| line.starts_with("warning: ")) {
        println!("cargo::warning=watertight agent: {line}");
    }
    Ok(object)
}
