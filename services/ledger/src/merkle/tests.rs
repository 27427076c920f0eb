//! Golden values of RFC 6962's reference implementation, and a naive tree that follows the RFC's words.

use super::*;
use proctor_model::audit::EntryHash;
use proptest::prelude::*;

/// The leaves of the tests of certificate-transparency (merkletree/merkle_tree_test.cc) and of every later port.
const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];
/// Their roots for sizes 1 to 8.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn golden() -> Vec<Hash> {
    let leaf = |text: &&str| *EntryHash::of(&hex::decode(text).unwrap()).as_bytes();
    LEAVES.iter().map(leaf).collect()
}

/// MTH of RFC 6962, 2.1, word by word.
fn naive(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let k = (1..)
                .map(|e| 1usize << e)
                .take_while(|k| *k < leaves.len())
                .last()
                .unwrap_or(1);
            parent(&naive(&leaves[..k]), &naive(&leaves[k..]))
        }
    }
}

fn hashes(leaves: &[Hash], plan: &Plan) -> HashMap<Node, Hash> {
    let of = |node: Node| {
        let (start, width) = (
            usize::try_from(node.index << node.level).unwrap(),
            1 << node.level,
        );
        (node, naive(&leaves[start..start + width]))
    };
    plan.nodes().map(of).collect()
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count)
        .map(|n| *EntryHash::of(&n.to_be_bytes()).as_bytes())
        .collect()
}

#[test]
fn roots_are_those_of_the_reference_implementation() {
    let mut frontier = Frontier::default();
    assert_eq!(
        hex::encode(frontier.root()),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    for (leaf, root) in golden().into_iter().zip(ROOTS) {
        frontier.push(leaf);
        assert_eq!(hex::encode(frontier.root()), root);
    }
}

#[test]
fn proofs_are_those_of_the_reference_implementation() {
    let inclusion = |index, size: u64| -> Vec<String> {
        let plan = Plan::inclusion(index, size).unwrap();
        let proof = plan.proof(&hashes(&golden(), &plan)).unwrap();
        proof.iter().map(hex::encode).collect()
    };
    assert_eq!(inclusion(0, 1), Vec::<String>::new());
    assert_eq!(
        inclusion(0, 8),
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ]
    );
    assert_eq!(
        inclusion(5, 8),
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(
        inclusion(2, 3),
        ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]
    );
    let consistency = |old, new: u64| -> Vec<String> {
        let plan = Plan::consistency(old, new).unwrap();
        let proof = plan.proof(&hashes(&golden(), &plan)).unwrap();
        proof.iter().map(hex::encode).collect()
    };
    assert_eq!(consistency(1, 1), Vec::<String>::new());
    assert_eq!(
        consistency(6, 8),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(
        consistency(2, 5),
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ]
    );
}

#[test]
fn a_proof_for_a_million_entries_is_twenty_hashes() {
    for index in [0, 1, 499_999, 999_999] {
        let plan = Plan::inclusion(index, 1_000_000).unwrap();
        assert!(plan.hashes() <= 20, "{index}: {}", plan.hashes());
    }
}

proptest! {
    #[test]
    fn the_frontier_is_the_naive_tree(count in 0usize..300, cut in 0usize..300) {
        let all = leaves(count);
        let mut frontier = Frontier::default();
        all.iter().for_each(|leaf| frontier.push(*leaf));
        prop_assert_eq!(frontier.root(), naive(&all));
        prop_assert_eq!(Frontier::from_bytes(count as u64, &frontier.to_bytes()), Some(frontier.clone()));
        // The same from a part in the middle, given what is left and right of it.
        let (from, to) = (cut.min(count) / 2, cut.min(count));
        let mut range = Frontier::default();
        let push = |start: usize, end: usize, range: &mut Frontier| {
            for node in subtrees(start as u64, end as u64) {
                let at = usize::try_from(node.index << node.level).unwrap();
                assert!(range.push_subtree(node.level, naive(&all[at..at + (1 << node.level)])));
            }
        };
        push(0, from, &mut range);
        all[from..to].iter().for_each(|leaf| range.push(*leaf));
        push(to, count, &mut range);
        prop_assert_eq!(range.root(), frontier.root());
    }

    #[test]
    fn proofs_hold_and_nothing_else_does(count in 1usize..200, index in 0usize..200, flip in 0usize..2000) {
        let (all, index) = (leaves(count), index % count);
        let root = naive(&all);
        let (at, size) = (index as u64, count as u64);
        let plan = Plan::inclusion(at, size).unwrap();
        let mut proof = plan.proof(&hashes(&all, &plan)).unwrap();
        prop_assert!(includes(at, size, &all[index], &proof, &root));
        prop_assert!(!includes(at, size, &all[(index + 1) % count], &proof, &root) || count == 1);
        prop_assert!(!includes(at + 1, size, &all[index], &proof, &root));
        prop_assert!(Plan::inclusion(size, size).is_none());
        let old = index as u64 + 1;
        let plan = Plan::consistency(old, size).unwrap();
        let mut growth = plan.proof(&hashes(&all, &plan)).unwrap();
        let before = naive(&all[..=index]);
        prop_assert!(extends((old, &before), (size, &root), &growth));
        let mut rewritten = all.clone();
        rewritten[index] = [9; 32];
        prop_assert!(!extends((old, &naive(&rewritten[..=index])), (size, &root), &growth));
        for proof in [&mut proof, &mut growth] {
            if let Some(step) = (!proof.is_empty()).then(|| flip % proof.len()) {
                proof[step][flip % 32] ^= 1;
            } else {
                proof.push([0; 32]);
            }
        }
        prop_assert!(!includes(at, size, &all[index], &proof, &root));
        prop_assert!(!extends((old, &before), (size, &root), &growth));
    }
}
