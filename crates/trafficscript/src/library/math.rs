//! `math.*`: the usual functions of real numbers. A result that is no number, or infinite, warns and gives 0, as a
//! division by zero does.

use super::{Call, Function, Outcome, row::works};
use crate::value::Value;

/// The family's functions.
pub(super) const FUNCTIONS: &[Function] = &[
    works("math.random", "n", (1, 1), "A random integer r, 0 ≤ r < n; not for secrets.", random),
    works("math.floor", "x", (1, 1), "The largest whole number not above x, as double.", floor),
    works("math.ceil", "x", (1, 1), "The smallest whole number not below x, as double.", ceil),
    works("math.rint", "x", (1, 1), "The nearest whole number, halves to even, as double.", rint),
    works("math.fabs", "x", (1, 1), "x without its sign.", fabs),
    works("math.sqrt", "x", (1, 1), "The square root.", sqrt),
    works("math.pow", "x, y", (2, 2), "x to the power of y.", pow),
    works("math.exp", "x", (1, 1), "e to the power of x.", exp),
    works("math.ln", "x", (1, 1), "The logarithm to base e.", ln),
    works("math.log", "x", (1, 1), "The logarithm to base 10.", log),
    works("math.sin", "x", (1, 1), "The sine of x radians.", sin),
    works("math.cos", "x", (1, 1), "The cosine of x radians.", cos),
    works("math.tan", "x", (1, 1), "The tangent of x radians.", tan),
    works("math.asin", "x", (1, 1), "The arc sine, in radians.", asin),
    works("math.acos", "x", (1, 1), "The arc cosine, in radians.", acos),
    works("math.atan", "x", (1, 1), "The arc tangent, in radians.", atan),
];

/// `math.random(n)` → integer r, 0 ≤ r < n. n below 1 warns and gives 0.
fn random<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let Some(bound) = u64::try_from(call.int(0)?).ok().filter(|bound| *bound > 0) else {
        call.warn("math.random: n must be at least 1")?;
        return Ok(Value::Int(0));
    };
    // The upper half of the product is spread over 0..bound without the bias of a remainder of small numbers.
    let drawn = (u128::from(call.host.random()) * u128::from(bound)) >> 64;
    Ok(Value::Int(drawn as i64))
}

/// `math.floor(x)` → double.
fn floor<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    apply(call, "math.floor", f64::floor)
}

/// `math.ceil(x)` → double.
fn ceil<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    apply(call, "math.ceil", f64::ceil)
}

/// `math.rint(x)` → double; halves go to the even neighbour.
fn rint<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    apply(call, "math.rint", f64::round_ties_even)
}

/// `math.fabs(x)` → double.
fn fabs<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    apply(call, "math.fabs", f64::abs)
}

/// `math.sqrt(x)` → double; below 0 warns and gives 0.
fn sqrt<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    apply(call, "math.sqrt", f64::sqrt)
}

/// `math.pow(x, y)` → double; what is too large or not real warns and gives 0.
fn pow<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let exponent = call.double(1)?;
    apply(call, "math.pow", |base| base.powf(exponent))
}

/// `math.exp(x)` → double; what is too large warns and gives 0.
fn exp<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    apply(call, "math.exp", f64::exp)
}

/// `math.ln(x)` → double; 0 and below warns and gives 0.
fn ln<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    apply(call, "math.ln", f64::ln)
}

/// `math.log(x)` → double, base 10; 0 and below warns and gives 0.
fn log<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    apply(call, "math.log", f64::log10)
}

/// `math.sin(x)` → double; x in radians.
fn sin<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    apply(call, "math.sin", f64::sin)
}

/// `math.cos(x)` → double; x in radians.
fn cos<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    apply(call, "math.cos", f64::cos)
}

/// `math.tan(x)` → double; x in radians.
fn tan<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    apply(call, "math.tan", f64::tan)
}

/// `math.asin(x)` → double in radians; outside -1..1 warns and gives 0.
fn asin<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    apply(call, "math.asin", f64::asin)
}

/// `math.acos(x)` → double in radians; outside -1..1 warns and gives 0.
fn acos<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    apply(call, "math.acos", f64::acos)
}

/// `math.atan(x)` → double in radians.
fn atan<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    apply(call, "math.atan", f64::atan)
}

fn apply<'p>(call: &mut Call<'_, 'p>, name: &str, function: impl Fn(f64) -> f64) -> Outcome<'p> {
    let result = function(call.double(0)?);
    if result.is_finite() {
        return Ok(result.into());
    }
    call.warn(&format!("{name}: the result is not a finite number"))?;
    Ok(Value::Double(0.0))
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Trial, check, v};

    #[test]
    fn values() {
        check(&[
            ("math.floor", v![-1.5], "-2"),
            ("math.ceil", v![1.2], "2"),
            ("math.rint", v![2.5], "2"),
            ("math.rint", v!["3.5"], "4"),
            ("math.fabs", v![-3], "3"),
            ("math.sqrt", v![16], "4"),
            ("math.pow", v![2, 10], "1024"),
            ("math.exp", v![1], "2.71828"),
            ("math.ln", v![1], "0"),
            ("math.log", v![1000], "3"),
            ("math.sin", v![0], "0"),
            ("math.cos", v![0], "1"),
            ("math.tan", v![1], "1.55741"),
            ("math.asin", v![1], "1.5708"),
            ("math.acos", v![1], "0"),
            ("math.atan", v![1], "0.785398"),
        ]);
    }

    #[test]
    fn what_is_no_number_warns_and_gives_zero() {
        for (name, arguments) in [
            ("math.sqrt", v![-1]),
            ("math.ln", v![0]),
            ("math.log", v![-5]),
            ("math.pow", v![10, 1000]),
            ("math.exp", v![1e9]),
            ("math.acos", v![2]),
            ("math.random", v![0]),
            ("math.random", v![-4]),
        ] {
            let mut trial = Trial::new();
            assert_eq!(trial.shown(name, arguments), "0", "{name}");
            assert_eq!(trial.log().len(), 1, "{name}");
        }
    }

    #[test]
    fn random_numbers_stay_below_their_bound_and_spread() {
        let mut trial = Trial::new();
        let mut seen = [false; 4];
        for _ in 0..200 {
            let drawn: usize = trial.shown("math.random", v![4]).parse().unwrap();
            seen[drawn] = true;
        }
        assert_eq!(seen, [true; 4]);
        assert_eq!(trial.shown("math.random", v![1]), "0");
    }
}
