//! The tree in tiles of 256 hashes (C2SP tlog-tiles), and the paths that they are asked for by. Pure.

use crate::merkle::{Frontier, Hash, Node, parent};

/// Hashes of a full tile.
pub const WIDTH: u64 = 256;
/// Levels of the tree that one level of tiles spans: log2 of [`WIDTH`].
const HEIGHT: u8 = 8;
/// Highest level of tiles that a chain can come to: 256^7 entries are more than there will be.
const LEVEL_MAX: u8 = 7;

/// Which tile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TileId {
    /// Its level: it holds hashes of subtrees of 256^level leaves.
    pub level: u8,
    /// Its number within the level.
    pub index: u64,
}

/// A tile of the right edge that was made or has grown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tile {
    /// Which.
    pub id: TileId,
    /// Its hashes so far.
    pub hashes: Vec<Hash>,
}

/// The rightmost tiles of a tree: what has to be known to append leaves to it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Edge {
    /// By level; each holds at least nothing and less than 256 hashes.
    levels: Vec<Tile>,
}

impl Edge {
    /// From the last stored tile of each level, in order of the levels. `None` if they fit no tree.
    #[must_use]
    pub fn new(last: Vec<Tile>) -> Option<Self> {
        let mut edge = Self::default();
        for (level, mut tile) in (0..).zip(last) {
            if tile.id.level != level || tile.hashes.is_empty() {
                return None;
            }
            if tile.hashes.len() as u64 >= WIDTH {
                tile = Tile {
                    id: TileId {
                        level,
                        index: tile.id.index + 1,
                    },
                    hashes: Vec::new(),
                };
            }
            edge.levels.push(tile);
        }
        // Each level counts the full tiles of the one below.
        let fits = edge
            .levels
            .windows(2)
            .all(|pair| pair[1].count() == pair[0].id.index);
        let complete = edge.levels.last().is_none_or(|top| top.id.index == 0);
        (fits && complete).then_some(edge)
    }

    /// The last tile of each level in a tree of this size.
    pub fn last_tiles(size: u64) -> impl Iterator<Item = TileId> {
        (0..=LEVEL_MAX).map_while(move |level| {
            let hashes = size >> (HEIGHT * level);
            let index = hashes.checked_sub(1)? / WIDTH;
            Some(TileId { level, index })
        })
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, Tile::count)
    }

    /// Appends leaves; gives the tiles that this made or let grow.
    pub fn extend(&mut self, leaves: impl IntoIterator<Item = Hash>) -> Vec<Tile> {
        let mut full = Vec::new();
        let mut touched = [false; LEVEL_MAX as usize + 1];
        for leaf in leaves {
            self.push(0, leaf, &mut full, &mut touched);
        }
        let rest = self.levels.iter().zip(touched);
        let grown = rest
            .filter(|(tile, touched)| *touched && !tile.hashes.is_empty())
            .map(|(tile, _)| tile.clone());
        full.extend(grown);
        full
    }

    fn push(
        &mut self,
        level: u8,
        hash: Hash,
        full: &mut Vec<Tile>,
        touched: &mut [bool; LEVEL_MAX as usize + 1],
    ) {
        let at = usize::from(level);
        if self.levels.len() == at {
            self.levels.push(Tile {
                id: TileId { level, index: 0 },
                hashes: Vec::new(),
            });
        }
        let (Some(tile), Some(mark)) = (self.levels.get_mut(at), touched.get_mut(at)) else {
            return;
        };
        tile.hashes.push(hash);
        *mark = true;
        if tile.hashes.len() as u64 == WIDTH {
            let next = Tile {
                id: TileId {
                    level,
                    index: tile.id.index + 1,
                },
                hashes: Vec::new(),
            };
            let done = std::mem::replace(tile, next);
            let root = subtree(&done.hashes);
            full.push(done);
            if level < LEVEL_MAX {
                self.push(level + 1, root, full, touched);
            }
        }
    }

    /// Root of the tree, from the tiles alone.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut tree = Frontier::default();
        for tile in self.levels.iter().rev() {
            for hash in &tile.hashes {
                // They stand where they belong: each level goes on where the one above ends.
                let _ = tree.push_subtree(tile.id.level * HEIGHT, *hash);
            }
        }
        tree.root()
    }
}

impl Tile {
    fn count(&self) -> u64 {
        self.id.index * WIDTH + self.hashes.len() as u64
    }

    /// Hash of a subtree that lies within this tile. `None` if the tile does not reach so far.
    #[must_use]
    pub fn hash(&self, node: Node) -> Option<Hash> {
        let low = node.level % HEIGHT;
        let start = usize::try_from((node.index << low) % WIDTH).ok()?;
        let width = 1usize << low;
        (TileId::of(node) == self.id)
            .then(|| self.hashes.get(start..start + width))
            .flatten()
            .map(subtree)
    }
}

/// Hash over as many hashes as a power of two.
fn subtree(hashes: &[Hash]) -> Hash {
    match hashes {
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            parent(&subtree(left), &subtree(right))
        }
    }
}

impl TileId {
    /// The tile that a node's hash can be had from.
    #[must_use]
    pub fn of(node: Node) -> Self {
        let low = node.level % HEIGHT;
        Self {
            level: node.level / HEIGHT,
            index: (node.index << low) / WIDTH,
        }
    }
}

/// What is asked for below a log's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource {
    /// `tile/<L>/<N>[.p/<W>]`: so many hashes of a tile.
    Tile(TileId, u64),
    /// `tile/entries/<N>[.p/<W>]`: so many entries, each with its length in two bytes before it.
    Entries(u64, u64),
}

impl Resource {
    /// From what stands behind `tile/`. `None` if it is no path of a tile.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (level, rest) = path.split_once('/')?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, canonical(width)?),
            None => (rest, WIDTH),
        };
        if !(1..=WIDTH).contains(&width) || (width == WIDTH && rest.contains(".p/")) {
            return None;
        }
        let index = parse_index(number)?;
        if level == "entries" {
            return Some(Self::Entries(index, width));
        }
        let level = u8::try_from(canonical(level)?).ok()?;
        (level <= LEVEL_MAX).then_some(Self::Tile(TileId { level, index }, width))
    }
}

fn canonical(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// `x001/x234/067` is 1234067.
fn parse_index(text: &str) -> Option<u64> {
    let groups: Vec<&str> = text.split('/').collect();
    let (last, before) = groups.split_last()?;
    let three = |group: &str| {
        (group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit()))
            .then(|| group.parse::<u64>().ok())
            .flatten()
    };
    let mut index = 0u64;
    for group in before {
        index = index
            .checked_mul(1000)?
            .checked_add(three(group.strip_prefix('x')?)?)?;
    }
    index = index.checked_mul(1000)?.checked_add(three(last)?)?;
    (index_path(index) == text && index < 1 << 40).then_some(index)
}

/// The path of a tile's number.
#[must_use]
pub fn index_path(index: u64) -> String {
    let (mut rest, mut path) = (index / 1000, format!("{:03}", index % 1000));
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::{Plan, includes};
    use std::collections::HashMap;

    fn leaf(n: u64) -> Hash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        hash
    }

    #[test]
    fn tiles_give_the_root_and_every_proof_however_they_grew() {
        let (mut edge, mut tree) = (Edge::default(), Frontier::default());
        let mut stored: HashMap<TileId, Tile> = HashMap::new();
        let mut size = 0;
        for step in [1u64, 254, 1, 1, 300, 0, 65_536, 7, 70_000] {
            let leaves = (size..size + step).map(leaf);
            for tile in edge.extend(leaves.clone()) {
                if let Some(before) = stored.get(&tile.id) {
                    assert!(tile.hashes.starts_with(&before.hashes), "a tile only grows");
                }
                stored.insert(tile.id, tile);
            }
            leaves.for_each(|leaf| tree.push(leaf));
            size += step;
            assert_eq!((edge.size(), edge.root()), (size, tree.root()));
            // What is stored is enough to go on.
            let last = Edge::last_tiles(size).map(|id| stored[&id].clone());
            let last: Vec<Tile> = last.collect();
            assert_eq!(Edge::new(last), Some(edge.clone()));
        }
        for index in [0, 255, 256, 65_535, 65_536, size - 1] {
            let plan = Plan::inclusion(index, size).unwrap();
            let hashes = plan
                .nodes()
                .map(|node| (node, stored[&TileId::of(node)].hash(node).unwrap()))
                .collect();
            let proof = plan.proof(&hashes).unwrap();
            assert!(includes(index, size, &leaf(index), &proof, &tree.root()));
        }
    }

    #[test]
    fn tiles_that_fit_no_tree_are_refused() {
        let tile = |level, index, count| Tile {
            id: TileId { level, index },
            hashes: vec![[1; 32]; count],
        };
        assert!(Edge::new(vec![tile(0, 1, 3), tile(1, 0, 1)]).is_some());
        for bad in [
            vec![tile(0, 1, 3)],
            vec![tile(0, 1, 3), tile(1, 0, 2)],
            vec![tile(1, 0, 2)],
            vec![tile(0, 0, 0)],
        ] {
            assert_eq!(Edge::new(bad), None);
        }
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(index_path(1_234_067), "x001/x234/067");
        assert_eq!(index_path(0), "000");
        let tile = |level, index, width| Some(Resource::Tile(TileId { level, index }, width));
        assert_eq!(
            Resource::parse("0/x001/x234/067"),
            tile(0, 1_234_067, WIDTH)
        );
        assert_eq!(Resource::parse("1/000.p/5"), tile(1, 0, 5));
        assert_eq!(
            Resource::parse("entries/x001/000.p/255"),
            Some(Resource::Entries(1000, 255))
        );
        for bad in [
            "",
            "0",
            "0/",
            "0/0",
            "0/1234",
            "0/001/000",
            "0/x000/001",
            "8/000",
            "-1/000",
            "00/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/257",
            "0/000.p/01",
            "0/000.p/",
            "entries/..",
            "0/x999/x999/x999/x999/x999/x999/x999/000",
        ] {
            assert_eq!(Resource::parse(bad), None, "{bad}");
        }
    }
}
