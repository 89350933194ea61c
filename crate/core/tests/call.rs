//! Calls as bindings make them: what is no call is refused before anything is written.

use core::cell::Cell;
use fused_loss_core::call::{
    ACCUMULATE, Array, CALL, CLASSES, COMMON, Call, Extent, Host, IGNORED, INPUTS, LAST, LOSS,
    MOST_IGNORED, NUMBERS, Numbers, OWN, PLACES, POSITIONS, Role, SUM,
};
use fused_loss_core::layout::positions::Values;
use fused_loss_core::registry::{self, CALLS, REGISTRY};
use fused_loss_core::simd::{Cells, Level, cells};

fn run(call: &Call) -> Result<f64, String> {
    let host = Host {
        level: Level::available()[0],
        threads: None,
        split_all: false,
    };
    registry::run(call, &host)
}

fn kind(name: &str) -> usize {
    let found = CALLS.iter().position(|call| call.name == name);
    found.expect("a kind of call")
}

fn block() -> Numbers {
    [const { Cell::new(0.0) }; NUMBERS]
}

/// The result of a call with arrays by their names.
fn call(
    name: &str,
    numbers: &Numbers,
    named: &[(&str, Array)],
    rest: &[Cells],
) -> Result<f64, String> {
    let fields = CALLS[kind(name)].fields;
    let mut arrays = [None; PLACES];
    for (name, array) in named {
        let place = fields.iter().position(|field| field.name == *name);
        arrays[place.expect("an array of the call")] = Some(*array);
    }
    numbers[CALL].set(kind(name) as f64);
    let mut ignored = [0; MOST_IGNORED];
    let ignored = Call::ignored(numbers, &mut ignored);
    let arrays = &arrays;
    run(&Call {
        arrays,
        rest,
        numbers,
        ignored,
    })
}

fn floats<'a>(values: Cells<'a>) -> Array<'a> {
    Array::Values(Values::F32(values))
}

#[test]
fn descriptions_have_places_for_all_that_they_name() {
    for description in CALLS {
        assert!(description.fields.len() <= PLACES, "{}", description.name);
        assert!(
            OWN + description.numbers.len() <= NUMBERS,
            "{}",
            description.name
        );
        for (i, field) in description.fields.iter().enumerate() {
            let before = &description.fields[..i];
            assert!(before.iter().all(|other| other.name != field.name));
            // A gradient may be the memory of the first array only.
            assert!(field.role != Role::Gradient || description.fields[0].role == Role::Input);
            if let Extent::Shared(place) | Extent::Cycled(Some(place)) = field.extent {
                assert!(place < COMMON.len() || place >= OWN, "{}", field.name);
            }
        }
    }
}

#[test]
fn a_call_is_a_kernel_by_its_numbers() {
    let (mut x, mut t, mut dx) = ([1.0, 2.0, 3.0], [1.0, 0.0, 5.0], [9.0; 3]);
    let numbers = block();
    // Of mse: the sum goes on from the one before.
    let mse = REGISTRY.iter().position(|row| row.name == "mse");
    numbers[LOSS].set(mse.expect("a loss") as f64);
    numbers[SUM].set(10.0);
    let scale = CALLS[kind("pointwise")].numbers;
    let scale = scale.iter().position(|name| *name == "scale");
    numbers[OWN + scale.expect("a number")].set(0.5);
    let arrays = [
        ("x", floats(cells(&mut x))),
        ("t", floats(cells(&mut t))),
        ("dx", floats(cells(&mut dx))),
    ];
    assert_eq!(call("pointwise", &numbers, &arrays, &[]), Ok(18.0));
    assert_eq!(dx, [0.0, 2.0, -2.0]);
}

#[test]
fn what_is_no_call_is_refused_and_nothing_is_written() {
    let mut memory = [[1.0f32; 12], [2.0; 12], [7.0; 12]];
    let [x, t, dx] = &mut memory;
    let (x, t, dx) = (cells(x), cells(t), cells(dx));
    let labels = [0, 1, 0, 1];
    let classes = |values| Array::Values(Values::I32(values));
    let refused = |name: &str, numbers: &Numbers, named: &[(&str, Array)], reason: &str| {
        let error = call(name, numbers, named, &[]).expect_err(reason);
        assert!(error.contains(reason), "{error} is not about {reason}");
        assert!(dx.iter().all(|dx| dx.get() == 7.0), "{reason}");
    };
    let numbers = block();
    let given = |dx| [("x", floats(x)), ("t", floats(t)), ("dx", floats(dx))];
    refused("pointwise", &numbers, &given(&dx[1..]), "dx");
    refused("pointwise", &numbers, &given(&x[..11]), "dx");
    refused("pointwise", &numbers, &given(t), "dx overlaps t");
    refused(
        "pointwise",
        &numbers,
        &[
            ("x", floats(&x[..8])),
            ("t", floats(&t[..8])),
            ("dx", floats(&x[4..])),
        ],
        "dx overlaps x",
    );
    refused("pointwise", &numbers, &given(dx)[..1], "no t");
    refused("pointwise", &numbers, &[], "no x");
    let mut double = [1.0f64; 12];
    let double = Array::F64(Cell::from_mut(&mut double[..]).as_slice_of_cells());
    refused(
        "pointwise",
        &numbers,
        &[("x", floats(x)), ("t", double), ("dx", floats(dx))],
        "t has a wrong type",
    );
    numbers[ACCUMULATE].set(1.0);
    refused("pointwise", &numbers, &given(x), "dx overlaps x");
    numbers[ACCUMULATE].set(0.0);
    numbers[LOSS].set(99.0);
    refused("pointwise", &numbers, &given(dx), "there is no loss 99");
    let rows = |labels| {
        [
            ("x", floats(x)),
            ("labels", classes(labels)),
            ("dx", floats(dx)),
        ]
    };
    numbers[LOSS].set(0.0);
    numbers[CLASSES].set(3.0);
    numbers[LAST].set(1.0);
    refused(
        "softmax",
        &numbers,
        &rows(&labels),
        "mse is no loss of a class axis",
    );
    let ce = REGISTRY.iter().position(|row| row.name == "crossEntropy");
    numbers[LOSS].set(ce.expect("a loss") as f64);
    refused("softmax", &numbers, &rows(&labels[1..]), "labels");
    refused(
        "softmax",
        &numbers,
        &[("x", floats(x)), ("dx", floats(dx))],
        "neither",
    );
    refused(
        "pointwise",
        &numbers,
        &given(dx),
        "crossEntropy is no loss of an element",
    );
    numbers[LAST].set(0.0);
    numbers[POSITIONS].set(3.0);
    refused("softmax", &numbers, &rows(&labels), "fill no samples");
    refused("region", &numbers, &rows(&labels), "fill no samples");
    numbers[CLASSES].set(0.0);
    refused("region", &numbers, &rows(&labels), "fill no samples");
    numbers[INPUTS].set(5.0);
    let code = Array::Values(Values::U8(&[]));
    refused("expression", &numbers, &[("code", code)], "5 inputs");
    numbers[CALL].set(99.0);
    let arrays = &[];
    let unknown = Call {
        arrays,
        rest: &[],
        numbers: &numbers,
        ignored: &[],
    };
    assert_eq!(run(&unknown), Err("there is no call 99".into()));
}

#[test]
fn only_so_many_labels_are_ignored_as_there_is_room_for() {
    let numbers = block();
    numbers[IGNORED].set(1e9);
    let mut ignored = [1; MOST_IGNORED];
    assert_eq!(Call::ignored(&numbers, &mut ignored), [0; MOST_IGNORED]);
}
