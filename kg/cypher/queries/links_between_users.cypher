// What links two users: the items that both liked, and what different items of theirs have in common.
MATCH (u:<user> {<user.key>: $user_id})-[l:<liked>]->(i:<item>)<-[m:<liked>]-(v:<user> {<user.key>: $other_user_id})
WHERE <positive l> AND <positive m> AND u.<user.key> <> v.<user.key>
RETURN type(l) AS relation, <item.id i> AS link, 1 AS items_of_user, 1 AS items_of_other
ORDER BY link LIMIT $k

MATCH (u:<user> {<user.key>: $user_id})-[l:<liked>]->(i:<item>)<hop r>(x:<other>)<back s>(j:<item>)<-[m:<liked>]-(v:<user> {<user.key>: $other_user_id})
WHERE <positive l> AND <positive m> AND i.<item.key> <> j.<item.key> AND u.<user.key> <> v.<user.key>
RETURN type(r) AS relation, <other.id x> AS link, count(DISTINCT i.<item.key>) AS items_of_user, count(DISTINCT j.<item.key>) AS items_of_other
ORDER BY items_of_user DESC, items_of_other DESC, link LIMIT $k
