// What lies around an item, relation by relation, and how many other items each neighbour joins it to; rare ones first.
MATCH (i:<item> {<item.key>: $item_id})<hop r>(x:<other>)
OPTIONAL MATCH (x)<back s>(j:<item>)
WHERE j.<item.key> <> $item_id
RETURN type(r) AS relation, <other.id x> AS neighbour, count(DISTINCT j.<item.key>) AS other_items
ORDER BY other_items, neighbour LIMIT $k
