//! What a medium says of trials that ended one after the other, as text.

use watertight_report::model::{Record, Trial};
use watertight_report::render::Renderer;
use watertight_report::report::Fold;

pub(crate) fn rendered<'a, R: Renderer>(
    trials: &[Trial],
    out: &'a mut Vec<u8>,
    make: impl FnOnce(&'a mut Vec<u8>) -> R,
) {
    let (mut renderer, mut fold) = (make(out), Fold::default());
    for trial in trials {
        renderer.trial(trial).unwrap();
        fold.add(&Record::Trial(Box::new(trial.clone())));
    }
    renderer.finish(&fold.finish()).unwrap();
}

macro_rules! text {
    ($trials:expr, $make:expr) => {{
        let mut out = Vec::new();
        $crate::any_media::rendered($trials, &mut out, $make);
        String::from_utf8(out).unwrap()
    }};
}
