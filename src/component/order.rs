//! In which order components start, decided before any of them does: a pure function from names and
//! dependencies to an order, or to everything that is wrong with them. It finds each problem in the
//! order of registration, so that the same host always gets the same answer.

use std::fmt;

use crate::suggest;

/// A component, as far as its place in the order goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) dependencies: &'a [String],
    pub(super) enabled: bool,
}

/// Why components cannot start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem<'a> {
    /// A dependency that nobody registered, and the name that was perhaps meant.
    Missing {
        component: &'a str,
        dependency: &'a str,
        meant: Option<&'a str>,
    },
    /// A dependency that is registered and will not start.
    Disabled {
        component: &'a str,
        dependency: &'a str,
    },
    /// A component that waits for itself.
    OnItself { component: &'a str },
    /// Components that wait for each other: each for the next, the last for the first. The one that
    /// was registered first stands first.
    Cycle { members: Vec<&'a str> },
}

/// The nodes that are enabled, each after all that it depends on; of those that could come next, the
/// one that was registered first does. Names are unique. What a disabled component depends on does
/// not matter.
///
/// # Errors
/// Every problem: first those of single components, then the cycles. Of the cycles that share a
/// component one is named.
pub(super) fn start_order<'a>(nodes: &[Node<'a>]) -> Result<Vec<usize>, Vec<Problem<'a>>> {
    let mut problems = Vec::new();
    let edges: Vec<Vec<usize>> = nodes
        .iter()
        .map(|node| edges_of(node, nodes, &mut problems))
        .collect();
    let mut order = Vec::with_capacity(nodes.len());
    // A disabled component is never waited for: whoever depends on it is a problem already.
    let mut placed: Vec<bool> = nodes.iter().map(|node| !node.enabled).collect();
    while let Some(first) = placed.iter().position(|placed| !placed) {
        // A scan for each component placed: a host has tens of them.
        let ready = (first..nodes.len())
            .find(|node| !placed[*node] && edges[*node].iter().all(|on| placed[*on]));
        match ready {
            Some(ready) => {
                placed[ready] = true;
                order.push(ready);
            }
            None => {
                let cycle = cycle_below(first, &edges, &placed);
                // Taken as placed, so that the search goes on behind it and ends.
                cycle.iter().for_each(|member| placed[*member] = true);
                let members = cycle.iter().map(|member| nodes[*member].name).collect();
                problems.push(Problem::Cycle { members });
            }
        }
    }
    if problems.is_empty() {
        Ok(order)
    } else {
        Err(problems)
    }
}

/// The nodes that this one must come after; what is wrong with the others goes to `problems`.
fn edges_of<'a>(
    node: &Node<'a>,
    nodes: &[Node<'a>],
    problems: &mut Vec<Problem<'a>>,
) -> Vec<usize> {
    let mut edges = Vec::with_capacity(node.dependencies.len());
    if !node.enabled {
        return edges;
    }
    let component = node.name;
    for dependency in node.dependencies.iter().map(String::as_str) {
        if dependency == component {
            problems.push(Problem::OnItself { component });
            continue;
        }
        match nodes.iter().position(|other| other.name == dependency) {
            Some(at) if nodes[at].enabled => edges.push(at),
            Some(_) => problems.push(Problem::Disabled {
                component,
                dependency,
            }),
            None => {
                let others = nodes.iter().map(|other| other.name);
                let meant = suggest::nearest(dependency, others.filter(|name| *name != component));
                problems.push(Problem::Missing {
                    component,
                    dependency,
                    meant,
                });
            }
        }
    }
    edges
}

/// A cycle that can be reached from `start`, when every node that is not placed waits for another
/// one that is not: follow them until one comes again.
fn cycle_below(start: usize, edges: &[Vec<usize>], placed: &[bool]) -> Vec<usize> {
    let mut walk = vec![start];
    let mut at = start;
    while let Some(next) = edges[at].iter().copied().find(|on| !placed[*on]) {
        if let Some(begin) = walk.iter().position(|seen| *seen == next) {
            walk.drain(..begin);
            break;
        }
        walk.push(next);
        at = next;
    }
    let eldest = walk.iter().enumerate().min_by_key(|(_, node)| **node);
    let eldest = eldest.map_or(0, |(place, _)| place);
    walk.rotate_left(eldest);
    walk
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Missing {
                component,
                dependency,
                meant,
            } => {
                write!(
                    f,
                    "`{component}` depends on `{dependency}`, which is not registered"
                )?;
                match meant {
                    Some(meant) => write!(f, " (did you mean `{meant}`?)"),
                    None => Ok(()),
                }
            }
            Problem::Disabled {
                component,
                dependency,
            } => write!(
                f,
                "`{component}` depends on `{dependency}`, which is disabled"
            ),
            Problem::OnItself { component } => write!(f, "`{component}` depends on itself"),
            Problem::Cycle { members } => {
                f.write_str("the components depend on each other in a circle: ")?;
                for member in members {
                    write!(f, "`{member}` -> ")?;
                }
                write!(f, "`{}`", members.first().copied().unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a node is made of, owned: name, dependencies, enabled.
    type Owned = (String, Vec<String>, bool);

    /// `"a: b c"` is a component that depends on two; `"-a"` is a disabled one.
    fn parsed(lines: &[&str]) -> Vec<Owned> {
        let parse = |line: &&str| {
            let (name, dependencies) = line.split_once(':').unwrap_or((line, ""));
            let dependencies = dependencies.split_whitespace().map(str::to_owned).collect();
            let enabled = !name.starts_with('-');
            (
                name.trim_start_matches('-').to_owned(),
                dependencies,
                enabled,
            )
        };
        lines.iter().map(parse).collect()
    }

    fn nodes(owned: &[Owned]) -> Vec<Node<'_>> {
        owned
            .iter()
            .map(|(name, dependencies, enabled)| Node {
                name,
                dependencies,
                enabled: *enabled,
            })
            .collect()
    }

    fn order(lines: &[&str]) -> String {
        let owned = parsed(lines);
        let nodes = nodes(&owned);
        let order = start_order(&nodes).unwrap();
        order
            .iter()
            .map(|at| nodes[*at].name)
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn problems(lines: &[&str]) -> Vec<String> {
        let owned = parsed(lines);
        let problems = start_order(&nodes(&owned)).unwrap_err();
        problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn what_is_depended_on_comes_first_and_ties_are_in_order_of_registration() {
        assert_eq!(order(&[]), "");
        assert_eq!(order(&["c", "a", "b"]), "c a b");
        assert_eq!(
            order(&["top: left right", "right: base", "left: base", "base"]),
            "base right left top"
        );
        assert_eq!(order(&["late: x", "early", "x"]), "early x late");
        assert_eq!(order(&["a: b b", "b"]), "b a");
    }

    #[test]
    fn a_disabled_component_does_not_start_and_its_dependencies_do_not_matter() {
        assert_eq!(order(&["-off: nowhere", "on"]), "on");
        assert_eq!(order(&["-off: off"]), "");
    }

    #[test]
    fn a_missing_dependency_is_named_with_the_one_that_was_meant() {
        assert_eq!(
            problems(&["cache: databse zebra", "database"]),
            [
                "`cache` depends on `databse`, which is not registered (did you mean `database`?)",
                "`cache` depends on `zebra`, which is not registered",
            ]
        );
    }

    #[test]
    fn a_disabled_dependency_is_a_problem() {
        assert_eq!(
            problems(&["cache: database", "-database"]),
            ["`cache` depends on `database`, which is disabled"]
        );
    }

    #[test]
    fn a_component_cannot_depend_on_itself() {
        assert_eq!(problems(&["a: a"]), ["`a` depends on itself"]);
    }

    #[test]
    fn a_cycle_is_told_with_its_members_in_order() {
        let circle = "the components depend on each other in a circle: ";
        assert_eq!(
            problems(&["outside: c", "a: b", "b: c", "c: a"]),
            [format!("{circle}`a` -> `b` -> `c` -> `a`")]
        );
        assert_eq!(
            problems(&["a: b", "b: a", "x: y", "y: x"]),
            [
                format!("{circle}`a` -> `b` -> `a`"),
                format!("{circle}`x` -> `y` -> `x`"),
            ]
        );
    }

    #[test]
    fn all_problems_are_found_at_once() {
        assert_eq!(
            problems(&["a: b nowhere", "b: a off", "-off", "self: self"]).len(),
            4
        );
    }

    /// Up to six components named by a letter, each depending on any letters, of which some name
    /// nobody.
    fn hosts() -> impl Strategy<Value = Vec<Owned>> {
        let component = (
            prop::collection::vec(0..7_u8, 0..3),
            prop::bool::weighted(0.9),
        );
        prop::collection::vec(component, 0..6).prop_map(|components| {
            let letter = |n: u8| char::from(b'a' + n).to_string();
            let named = |(at, (dependencies, enabled)): (usize, (Vec<u8>, bool))| {
                let dependencies = dependencies.into_iter().map(letter).collect();
                (letter(u8::try_from(at).unwrap()), dependencies, enabled)
            };
            components.into_iter().enumerate().map(named).collect()
        })
    }

    /// Every order of `rest`, the lexicographically least first.
    fn permutations(rest: &[usize]) -> Vec<Vec<usize>> {
        if rest.is_empty() {
            return vec![Vec::new()];
        }
        let with = |&first: &usize| {
            let others: Vec<usize> = rest.iter().copied().filter(|n| *n != first).collect();
            let below = permutations(&others);
            below
                .into_iter()
                .map(move |order| [vec![first], order].concat())
        };
        rest.iter().flat_map(with).collect()
    }

    proptest! {
        #[test]
        fn the_order_is_the_least_of_all_that_are_allowed(owned in hosts()) {
            let nodes = nodes(&owned);
            let on = |at: usize| nodes[at].dependencies.iter().map(String::as_str);
            let enabled: Vec<usize> = (0..nodes.len()).filter(|at| nodes[*at].enabled).collect();
            let allowed = |order: &Vec<usize>| {
                order.iter().enumerate().all(|(place, at)| {
                    let started = |name| order[..place].iter().any(|at| nodes[*at].name == name);
                    on(*at).all(started)
                })
            };
            let expected = permutations(&enabled).into_iter().find(allowed);
            match start_order(&nodes) {
                Ok(order) => prop_assert_eq!(Some(order), expected),
                Err(problems) => {
                    prop_assert_eq!(None, expected);
                    for problem in &problems {
                        if let Problem::Cycle { members } = problem {
                            let next = members.iter().cycle().skip(1);
                            for (member, next) in members.iter().zip(next) {
                                let at = nodes.iter().position(|n| n.name == *member).unwrap();
                                prop_assert!(on(at).any(|name| name == *next), "{}", problem);
                            }
                        }
                    }
                }
            }
        }
    }
}
