// What two items share: the nodes that both are joined to, and the edges from one to the other.
MATCH (a:<item> {<item.key>: $item_id})<hop r>(x:<other>)<back s>(b:<item> {<item.key>: $other_item_id})
WHERE r <> s AND a.<item.key> <> b.<item.key>
RETURN DISTINCT type(r) AS relation, <other.id x> AS shared

MATCH (a:<item> {<item.key>: $item_id})<direct r>(b:<item> {<item.key>: $other_item_id})
WHERE a.<item.key> <> b.<item.key>
RETURN DISTINCT type(r) AS relation, <item.id b> AS shared
