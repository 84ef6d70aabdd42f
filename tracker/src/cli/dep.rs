//! The verbs on dependencies.

use clap::Subcommand;

use super::output::{Output, Trouble};
use super::place::Place;
use super::show;
use crate::exit_code::Exit;
use crate::issue::DependencyKind;
use crate::query::{Direction, Node};

#[derive(Debug, Subcommand)]
pub(crate) enum Dep {
    /// Make ID wait for DEPENDS_ON
    Add {
        /// The one that waits: an id or its unique start
        id: String,
        /// What it waits for
        depends_on: String,
        /// blocks, parent-child, related or discovered-from
        #[arg(long = "type", short = 't', default_value = "blocks", value_name = "TYPE")]
        kind: String,
    },
    /// Make ID depend on DEPENDS_ON no more
    Remove {
        /// The one that waits: an id or its unique start
        id: String,
        /// What it is to wait for no more
        depends_on: String,
        /// Only of this type [default: all]
        #[arg(long = "type", short = 't', value_name = "TYPE")]
        kind: Option<String>,
    },
    /// Show what an issue depends on, and what that depends on
    Tree {
        /// The root: an id or its unique start
        id: String,
        /// What depends on it instead
        #[arg(long, short)]
        reverse: bool,
    },
    /// List dependencies that go in a circle; exit 5 if there are any
    Cycles,
}

pub(crate) fn run(place: &Place, dep: Dep, output: &mut Output) -> Result<Exit, Trouble> {
    match dep {
        Dep::Add { id, depends_on, kind } => {
            let kind: DependencyKind = kind.parse()?;
            let edge =
                place.with_store(|store, _| Ok(store.add_dependency(&id, &depends_on, kind)?))?;
            output.print(&edge, |edge| {
                format!("{} depends on {} ({})", edge.issue_id, edge.depends_on_id, edge.kind)
            })?;
        }
        Dep::Remove { id, depends_on, kind } => {
            let kind = kind.map(|word| word.parse::<DependencyKind>()).transpose()?;
            let removed = place.with_store(|store, _| {
                Ok(store.remove_dependency(&id, &depends_on, kind.as_ref())?)
            })?;
            output.print(&removed, |removed| {
                removed
                    .iter()
                    .map(|edge| {
                        let (id, on) = (&edge.issue_id, &edge.depends_on_id);
                        format!("{id} no longer depends on {on} ({})\n", edge.kind)
                    })
                    .collect()
            })?;
            if removed.is_empty() {
                output.say("there was no such dependency");
            }
        }
        Dep::Tree { id, reverse } => {
            let direction = if reverse { Direction::Dependents } else { Direction::DependsOn };
            let tree = place.with_store(|store, _| Ok(store.tree(&id, direction)?))?;
            output.print(&tree, |tree| {
                let mut text = label(tree) + "\n";
                draw(tree, "", &mut text);
                text
            })?;
        }
        Dep::Cycles => {
            let cycles = place.with_store(|store, _| Ok(store.cycles()?))?;
            output.print(&cycles, |cycles| {
                cycles.iter().map(|cycle| cycle.join(" -> ") + "\n").collect()
            })?;
            if cycles.is_empty() {
                output.say("no cycles");
                return Ok(Exit::Ok);
            }
            output.say("`tracker dep remove ID DEPENDS_ON` breaks one");
            return Ok(Exit::Conflict);
        }
    }
    Ok(Exit::Ok)
}

fn label(node: &Node) -> String {
    let title = match node.status {
        Some(_) => show::line(&node.title),
        None => "(not here)".into(),
    };
    let status = node.status.as_deref().unwrap_or_default();
    let kind = match node.kind.as_deref() {
        None | Some("blocks") => String::new(),
        Some(kind) => format!(" ({kind})"),
    };
    let again = if node.is_repeated { " ..." } else { "" };
    format!("{}  {status}  {title}{kind}{again}", node.id)
}

fn draw(node: &Node, indent: &str, text: &mut String) {
    let last = node.children.len().saturating_sub(1);
    for (index, child) in node.children.iter().enumerate() {
        let (branch, below) = if index == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        *text += &format!("{indent}{branch}{}\n", label(child));
        draw(child, &format!("{indent}{below}"), text);
    }
}
