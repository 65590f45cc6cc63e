//! Defects of the record of held stripes. The test file `blocking` finds them.

use super::Mutant;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a guard that ends on another thread forgets that it may be put into the list",
        file: "blocking/held/lone.rs",
        from: "        if own {",
        to: "        if own || version > 0 {",
        test: "blocking",
        model: "record::a_guard_ends_elsewhere_while_others_are_noted",
        finds: "a guard stays in the record",
    },
    Mutant {
        name: "a guard that ended while it was put into the list stays there",
        file: "blocking/held/list.rs",
        from: "if !self.lone.empty(version) {",
        to: "if !self.lone.empty(version) && version == 0 {",
        test: "blocking",
        model: "record::a_guard_ends_elsewhere_while_others_are_noted",
        finds: "a guard stays in the record",
    },
    Mutant {
        name: "a thread finds its list empty while a guard is put into it",
        file: "blocking/held/list.rs",
        from: "            self.len.store(entries.len(), Relaxed);\n            if",
        to: "            if",
        test: "blocking",
        model: "record::a_guard_changes_elsewhere_while_another_is_noted",
        finds: "the second guard is noted",
    },
    Mutant {
        name: "a search does not look at the version again",
        file: "blocking/held/lone.rs",
        from: "(self.version.load(Relaxed) == version).then_some((guard, version))",
        to: "Some((guard, version))",
        test: "blocking",
        model: "record::a_search_finds_whole_guards",
        finds: "the place of another guard",
    },
    Mutant {
        name: "a search looks at the version too early",
        file: "blocking/held/lone.rs",
        from: "        fence(Acquire);\n",
        to: "",
        test: "blocking",
        model: "record::a_search_finds_whole_guards",
        finds: "the place of another guard",
    },
    Mutant {
        name: "a guard is noted before its predecessor is gone",
        file: "blocking/held/lone.rs",
        from: "        fence(Release);\n",
        to: "",
        test: "blocking",
        model: "record::a_search_finds_whole_guards",
        finds: "the place of another guard",
    },
];
