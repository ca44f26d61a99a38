// Why this item: what joins it to the items that the user liked, attribute by attribute.
MATCH (u:<user> {<user.key>: $user_id})-[l:<liked>]->(h:<item>)<hop r>(x:<other>)<back s>(i:<item> {<item.key>: $item_id})
WHERE <positive l> AND r <> s AND h.<item.key> <> i.<item.key>
RETURN DISTINCT <item.id h> AS liked, type(r) AS relation, <other.id x> AS through

MATCH (u:<user> {<user.key>: $user_id})-[l:<liked>]->(h:<item>)<direct r>(i:<item> {<item.key>: $item_id})
WHERE <positive l> AND h.<item.key> <> i.<item.key>
RETURN DISTINCT <item.id h> AS liked, type(r) AS relation, <item.id i> AS through
