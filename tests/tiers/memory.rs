//! What only a tier in memory promises: who leaves first under each policy.

use cardex::tier::MemoryTierOptions;
use cardex::{ErrorKind, Strategy};

use crate::every::{MIB, memory, seconds};

/// Four entries, put in the order of their names, which 1 and then 0 are asked for; 2 ends first. Who
/// leaves for a fifth one.
fn leaver(strategy: Strategy) -> Vec<u64> {
    let case = memory(strategy, 4, 8 * MIB);
    for k in 0..4_u64 {
        let lifetime = if k == 2 { 50 } else { 100 };
        case.put_for(k, b"v", seconds(lifetime));
    }
    for k in [1, 1, 0] {
        assert!(case.get(k).is_some());
    }
    case.put_for(4_u64, b"v", seconds(100));
    (0..5).filter(|k| case.get(k).is_none()).collect()
}

#[test]
fn each_policy_names_its_own_victim() {
    assert_eq!(leaver(Strategy::Lru), [2]);
    assert_eq!(leaver(Strategy::Lfu), [2]);
    assert_eq!(leaver(Strategy::Fifo), [0]);
    assert_eq!(leaver(Strategy::Ttl), [2]);
    assert_eq!(leaver(Strategy::S3Fifo).len(), 1);
    assert_eq!(leaver(Strategy::Random).len(), 1);
}

#[test]
fn limits_that_keep_nothing_are_refused() {
    let options = MemoryTierOptions::default;
    let refused = [
        options().max_items(0),
        options().max_items(1_000_001),
        options().max_bytes(0),
        options().ttl(seconds(0)),
    ];
    for options in refused {
        assert_eq!(options.unwrap_err().kind(), ErrorKind::InvalidConfig);
    }
    assert_eq!(
        options().max_items(0).unwrap_err().to_string(),
        "`tiers.memory.max_items` = 0 is out of range"
    );
}
