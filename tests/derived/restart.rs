//! Results that outlive the process, and files that change while none is running.

use crate::world::World;

#[test]
fn after_a_restart_a_result_is_answered_only_if_its_files_are_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::durable(folder);
    for n in 0..50 {
        world.write(&format!("f{n}"), &format!("one {n}"));
        world.read(&format!("f{n}"));
    }
    let World { folder, tools, .. } = world;
    drop(tools);
    for n in (0..50).step_by(5) {
        std::fs::write(folder.path().join(format!("tree/f{n}")), "two").unwrap();
    }
    let world = World::durable(folder);
    for n in 0..50 {
        let (text, _) = world.read(&format!("f{n}"));
        let expected = if n % 5 == 0 {
            "two".to_owned()
        } else {
            format!("one {n}")
        };
        assert_eq!(text, expected);
    }
    assert_eq!(world.made(), 10, "the others were there");
}
