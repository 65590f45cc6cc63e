//! Checks which auto traits a type has.

use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// Checks a type: if it has the trait, its inherent method is found, and hides that of [`Absent`].
pub(crate) struct Ask<T>(pub(crate) PhantomData<T>);

/// Checks the type of a value, which may have no name.
pub(crate) fn of<T>(_: &T) -> Ask<T> {
    Ask(PhantomData)
}

macro_rules! ask {
    ($($method:ident: $trait:ident),*) => {
        pub(crate) trait Absent {
            $(
                fn $method(&self) -> bool {
                    false
                }
            )*
        }

        impl<T> Absent for Ask<T> {}

        $(
            #[allow(clippy::unused_self, reason = "so that it hides the other")]
            impl<T: $trait> Ask<T> {
                pub(crate) fn $method(&self) -> bool {
                    true
                }
            }
        )*
    };
}

ask!(send: Send, sync: Sync, unpin: Unpin, unwind_safe: UnwindSafe, ref_unwind_safe: RefUnwindSafe);

/// A type that is `Sync` and not `Send`.
pub(crate) type SyncAlone = std::sync::MutexGuard<'static, u8>;

/// The traits of a type as a word: `s` for `Send`, `y` for `Sync`, `u` for `Unpin`, `w` for `UnwindSafe`, `r` for
/// `RefUnwindSafe`, and a dash for each that it does not have.
macro_rules! word {
    ($ask:expr) => {{
        let ask = $ask;
        let answers = [ask.send(), ask.sync(), ask.unpin(), ask.unwind_safe(), ask.ref_unwind_safe()];
        "syuwr".chars().zip(answers).map(|(letter, yes)| if yes { letter } else { '-' }).collect::<String>()
    }};
}

/// Compares each type, generic in `T`, with the expected words for a `T` that is `Send` and `Sync`, only `Send`, only
/// `Sync`, and neither.
macro_rules! autos {
    ($($type:ty => $both:literal $sent:literal $shared:literal $neither:literal;)*) => {
        $({
            type Of<T> = $type;
            let words = [
                word!(Ask::<Of<u8>>(PhantomData)),
                word!(Ask::<Of<Cell<u8>>>(PhantomData)),
                word!(Ask::<Of<SyncAlone>>(PhantomData)),
                word!(Ask::<Of<Rc<u8>>>(PhantomData)),
            ];
            assert_eq!(words, [$both, $sent, $shared, $neither], stringify!($type));
        })*
    };
}

pub(crate) use {autos, word};
