//! What a pickle came to: nodes in one list that name each other by number, so that nothing recursive is ever built or dropped.

/// A place in the list of nodes.
pub(super) type NodeId = u32;

#[derive(Debug, Clone)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Box<str>),
    Tuple(Box<[NodeId]>),
    List(Vec<NodeId>),
    /// Also an `OrderedDict`.
    Dict(Vec<(NodeId, NodeId)>),
    Global(Global),
    Storage(Storage),
    Tensor(View),
}

/// The names that may stand in a checkpoint. Each is a word to us, not code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    StorageOf(Kind),
}

impl Global {
    pub(super) fn parse(module: &str, name: &str) -> Result<Self, String> {
        let kind = match (module, name) {
            ("collections", "OrderedDict") => return Ok(Global::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => return Ok(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => return Ok(Global::RebuildParameter),
            ("torch", "FloatStorage") => Kind::F32,
            ("torch", "DoubleStorage") => Kind::F64,
            ("torch", "HalfStorage") => Kind::F16,
            ("torch", "BFloat16Storage") => Kind::BF16,
            ("torch", "LongStorage") => Kind::I64,
            ("torch", "IntStorage") => Kind::I32,
            _ => {
                return Err(format!(
                    "the checkpoint names `{module}.{name}`, which is not plain data"
                ));
            }
        };
        Ok(Global::StorageOf(kind))
    }
}

/// How a stored number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
}

impl Kind {
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Kind::F64 | Kind::I64 => 8,
            Kind::F32 | Kind::I32 => 4,
            Kind::F16 | Kind::BF16 => 2,
        }
    }

    /// The number at a place that is inside.
    pub(crate) fn number(self, bytes: &[u8], at: usize) -> f32 {
        fn word<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
            let mut word = [0; N];
            word.copy_from_slice(&bytes[at * N..(at + 1) * N]);
            word
        }
        match self {
            Kind::F32 => f32::from_le_bytes(word(bytes, at)),
            Kind::F64 => f64::from_le_bytes(word(bytes, at)) as f32,
            Kind::I64 => i64::from_le_bytes(word(bytes, at)) as f32,
            Kind::I32 => i32::from_le_bytes(word(bytes, at)) as f32,
            Kind::BF16 => f32::from_bits(u32::from(u16::from_le_bytes(word(bytes, at))) << 16),
            Kind::F16 => half(u16::from_le_bytes(word(bytes, at))),
        }
    }
}

fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

#[derive(Debug, Clone)]
pub(super) struct Storage {
    pub(super) kind: Kind,
    pub(super) key: Box<str>,
    pub(super) count: u64,
}

/// A tensor: a strided look at a storage.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) kind: Kind,
    pub(super) key: Box<str>,
    /// Numbers in the storage.
    pub(super) stored: u64,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
}

/// Axes of a tensor at most.
pub(super) const MOST_AXES: usize = 8;

impl View {
    pub(super) fn sizes(&self) -> Vec<usize> {
        self.shape.iter().map(|size| *size as usize).collect()
    }

    /// How many numbers it has, when there are at most `limit` of them and the last one lies inside its storage.
    pub(super) fn check(&self, limit: u64) -> Result<u64, String> {
        if self.shape.len() != self.strides.len() || self.shape.len() > MOST_AXES {
            return Err(format!(
                "{} sizes and {} strides",
                self.shape.len(),
                self.strides.len()
            ));
        }
        if self.stored > limit {
            return Err(format!("its storage has {} numbers", self.stored));
        }
        let count = self
            .shape
            .iter()
            .try_fold(1u64, |count, size| count.checked_mul(*size))
            .filter(|count| *count <= limit)
            .ok_or_else(|| format!("the shape {:?} is too large", self.shape))?;
        let last = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(self.offset, |last, (size, stride)| {
                last.checked_add(size.saturating_sub(1).checked_mul(*stride)?)
            });
        if count > 0 && last.is_none_or(|last| last >= self.stored) {
            return Err("it reaches past the end of its storage".into());
        }
        Ok(count)
    }

    /// Where its numbers lie, row-major.
    pub(super) fn places(&self) -> impl Iterator<Item = u64> + '_ {
        let count: u64 = self.shape.iter().product();
        (0..count).map(|index| {
            let mut rest = index;
            let mut place = self.offset;
            for (size, stride) in self.shape.iter().zip(&self.strides).rev() {
                place += rest % size * stride;
                rest /= size;
            }
            place
        })
    }
}

/// A look at one node.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    nodes: &'a [Node],
    node: &'a Node,
}

impl<'a> Value<'a> {
    /// `id` was given out by the machine, which gives out only places that are there.
    pub(super) fn new(nodes: &'a [Node], id: NodeId) -> Self {
        Value {
            nodes,
            node: &nodes[id as usize],
        }
    }

    pub(crate) fn get(self, key: &str) -> Result<Value<'a>, String> {
        let found = self.entries()?.into_iter().find(|(name, _)| *name == key);
        found
            .map(|(_, value)| value)
            .ok_or_else(|| format!("the checkpoint has no `{key}`"))
    }

    /// The pairs of a dictionary whose keys are words; the last of two equal keys counts, as in Python.
    pub(crate) fn entries(self) -> Result<Vec<(&'a str, Value<'a>)>, String> {
        let Node::Dict(pairs) = self.node else {
            return Err("a dictionary was expected".into());
        };
        let mut entries: Vec<(&str, Value<'_>)> = Vec::with_capacity(pairs.len());
        let mut seen = std::collections::HashMap::new();
        for (key, value) in pairs {
            let Node::Text(key) = &self.nodes[*key as usize] else {
                return Err("a dictionary's key is not a word".into());
            };
            let value = Value::new(self.nodes, *value);
            match seen.get(&**key) {
                Some(at) => entries[*at] = (&**key, value),
                None => {
                    seen.insert(&**key, entries.len());
                    entries.push((&**key, value));
                }
            }
        }
        Ok(entries)
    }

    pub(crate) fn text(self) -> Option<&'a str> {
        match self.node {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn int(self) -> Option<i64> {
        match self.node {
            Node::Int(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn number(self) -> Option<f64> {
        match self.node {
            Node::Int(number) => Some(*number as f64),
            Node::Float(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn truth(self) -> Option<bool> {
        match self.node {
            Node::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    pub(crate) fn is_none(self) -> bool {
        matches!(self.node, Node::None)
    }

    pub(super) fn view(self) -> Result<&'a View, String> {
        match self.node {
            Node::Tensor(view) => Ok(view),
            _ => Err("a tensor was expected".into()),
        }
    }
}
