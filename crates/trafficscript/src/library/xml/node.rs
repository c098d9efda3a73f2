//! Nodes of a document as XPath sees them (5), and what is on each axis (2.2).

use roxmltree::{Document, Node};

use super::syntax::{Axis, Test};

/// A node of a document, or an attribute of one. They compare in the order of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Identity of the node, or of the element that has the attribute.
    node: u32,
    /// 0 = the node itself, else the number of the attribute from 1.
    attribute: u32,
}

/// A document with its nodes by their places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree<'d, 'i>(pub(super) &'d Document<'i>);

impl<'d, 'i> Tree<'d, 'i> {
    pub(super) fn root(self) -> Place {
        Place::of(self.0.root())
    }

    fn node(self, place: Place) -> Node<'d, 'i> {
        self.0.get_node(place.node.into()).unwrap_or_else(|| self.0.root())
    }

    /// Name with namespace, as far as a node has one.
    pub(super) fn name(self, place: Place) -> Option<(Option<&'d str>, &'d str)> {
        if let Some(attribute) = self.attribute(place) {
            return Some((attribute.namespace(), attribute.name()));
        }
        let node = self.node(place);
        if let Some(instruction) = node.pi() {
            return Some((None, instruction.target));
        }
        node.is_element().then(|| (node.tag_name().namespace(), node.tag_name().name()))
    }

    /// Name with the prefix written in the document.
    pub(super) fn qualified_name(self, place: Place) -> String {
        let Some((namespace, local)) = self.name(place) else { return String::new() };
        let prefix = namespace.and_then(|uri| self.node(place).lookup_prefix(uri));
        match prefix.filter(|prefix| !prefix.is_empty()) {
            Some(prefix) => format!("{prefix}:{local}"),
            None => local.to_owned(),
        }
    }

    fn attribute(self, place: Place) -> Option<roxmltree::Attribute<'d, 'i>> {
        let index = place.attribute.checked_sub(1)?;
        self.node(place).attributes().nth(index as usize)
    }

    /// Gives `each` the pieces of the string-value of a node.
    pub(super) fn text<E>(self, place: Place, mut each: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        if let Some(attribute) = self.attribute(place) {
            return each(attribute.value());
        }
        let node = self.node(place);
        if let Some(instruction) = node.pi() {
            return each(instruction.value.unwrap_or_default());
        }
        if node.is_element() || node.is_root() {
            // Nodes in between are counted as empty pieces.
            return node
                .descendants()
                .try_for_each(|inner| each(inner.text().filter(|_| inner.is_text()).unwrap_or_default()));
        }
        each(node.text().unwrap_or_default())
    }

    /// A node as a rule gets it: elements, comments and instructions as they stand in the document, texts and attributes
    /// as their values.
    pub(super) fn written(self, place: Place) -> &'d str {
        if let Some(attribute) = self.attribute(place) {
            return attribute.value();
        }
        let node = self.node(place);
        if node.is_text() {
            return node.text().unwrap_or_default();
        }
        self.0.input_text().get(node.range()).unwrap_or_default()
    }

    /// `xml:lang` in force.
    pub(super) fn language(self, place: Place) -> Option<&'d str> {
        self.node(place).ancestors().find_map(|node| node.attribute((roxmltree::NS_XML_URI, "lang")))
    }

    /// Whether a node passes a test on an axis.
    pub(super) fn passes(self, place: Place, axis: Axis, test: Test<'_>) -> bool {
        let is_attribute = place.attribute > 0;
        match test {
            Test::Any => true,
            Test::Text => !is_attribute && self.node(place).is_text(),
            Test::Comment => !is_attribute && self.node(place).is_comment(),
            Test::Instruction(target) => {
                let instruction = (!is_attribute).then(|| self.node(place).pi()).flatten();
                instruction.is_some_and(|pi| target.is_none_or(|target| pi.target == target))
            }
            Test::Name(namespace, name) => {
                // The principal kind of nodes of the axis.
                if is_attribute != (axis == Axis::Attribute)
                    || !(is_attribute || self.node(place).is_element())
                {
                    return false;
                }
                let Some((its_namespace, its_name)) = self.name(place) else { return false };
                name.is_none_or(|name| name == its_name)
                    && namespace.is_none_or(|namespace| namespace == its_namespace.unwrap_or_default())
            }
        }
    }

    /// Gives `each` the nodes on an axis from a node, the nearest first.
    pub(super) fn walk<E>(
        self,
        from: Place,
        axis: Axis,
        mut each: impl FnMut(Place) -> Result<(), E>,
    ) -> Result<(), E> {
        let node = self.node(from);
        if from.attribute > 0 {
            // An attribute has a parent and no relatives.
            return match axis {
                Axis::Itself | Axis::DescendantOrSelf => each(from),
                Axis::Parent => each(Place::of(node)),
                Axis::Ancestor => node.ancestors().map(Place::of).try_for_each(each),
                Axis::AncestorOrSelf => {
                    each(from)?;
                    node.ancestors().map(Place::of).try_for_each(each)
                }
                Axis::Following => {
                    node.descendants().skip(1).map(Place::of).try_for_each(&mut each)?;
                    self.walk(Place::of(node), axis, each)
                }
                Axis::Preceding => self.walk(Place::of(node), axis, each),
                Axis::Attribute
                | Axis::Child
                | Axis::Descendant
                | Axis::FollowingSibling
                | Axis::PrecedingSibling => Ok(()),
            };
        }
        match axis {
            Axis::Itself => each(from),
            Axis::Child => node.children().map(Place::of).try_for_each(each),
            Axis::Descendant => node.descendants().skip(1).map(Place::of).try_for_each(each),
            Axis::DescendantOrSelf => node.descendants().map(Place::of).try_for_each(each),
            Axis::Parent => node.parent().map(Place::of).into_iter().try_for_each(each),
            Axis::Ancestor => node.ancestors().skip(1).map(Place::of).try_for_each(each),
            Axis::AncestorOrSelf => node.ancestors().map(Place::of).try_for_each(each),
            Axis::FollowingSibling => node.next_siblings().skip(1).map(Place::of).try_for_each(each),
            Axis::PrecedingSibling => node.prev_siblings().skip(1).map(Place::of).try_for_each(each),
            Axis::Attribute => (1..)
                .take(node.attributes().len())
                .map(|attribute| Place { attribute, ..from })
                .try_for_each(each),
            Axis::Following => {
                let later = node.ancestors().flat_map(|node| node.next_siblings().skip(1));
                later.flat_map(|node| node.descendants()).map(Place::of).try_for_each(each)
            }
            Axis::Preceding => {
                let earlier = node.ancestors().flat_map(|node| node.prev_siblings().skip(1));
                earlier.flat_map(|node| node.descendants().rev()).map(Place::of).try_for_each(each)
            }
        }
    }
}

impl Place {
    fn of(node: Node<'_, '_>) -> Self {
        Self { node: node.id().get(), attribute: 0 }
    }
}
