// The items whose vectors point most in the direction of an item's, by the vector index of the run that serves; from 0 to 1.
MATCH (p:GraphrecallPointer {name: 'serving'}) MATCH (i:<item> {<item.key>: $item_id})
WITH p, i WHERE i[p.vector] IS NOT NULL
CALL db.index.vector.queryNodes(p.items_index, $k + 1, i[p.vector]) YIELD node, score
WITH i, node, score, p WHERE node <> i
RETURN <item.id node> AS item, score AS cosine, p.run AS run
ORDER BY cosine DESC, item LIMIT $k
