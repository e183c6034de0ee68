# Writes a file under a standard error that is a folder: `folder_stderr NAME TEXT`.
cd /proc/self/fd/2/ && echo "$2" >"$1" && echo "attack: ended done" && exit
echo "attack: ended no folder"
